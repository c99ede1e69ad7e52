"""DNS: messages, CoreDNS's configuration, log and metrics, resolv.conf."""

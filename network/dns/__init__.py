"""DNS: messages, what CoreDNS serves, resolv.conf."""

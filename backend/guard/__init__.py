"""The network guard: DNS answers into the firewall, then to the asker; refusals into events. uid guard, CAP_NET_ADMIN only."""

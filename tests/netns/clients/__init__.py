"""The table of clients in docs/clients.md: its clients, a host that behaves as real ones do, and the programs that run them."""

"""The network guard. It opens the addresses in DNS answers before it returns them, and turns refused packets into events.

Runs as uid guard with CAP_NET_ADMIN only.
"""

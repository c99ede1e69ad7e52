"""The agent as a uid: its environment, its processes, stopping them."""

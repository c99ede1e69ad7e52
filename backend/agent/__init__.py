"""The agent as a uid: its environment, its processes, and how to stop them."""

"""The agent's uid: the environment of its processes, and how to stop and end them."""

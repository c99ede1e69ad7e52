"""The gate: the connections that may pass, and the credentials for each host."""

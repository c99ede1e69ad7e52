"""The sandbox's own sshd: its configuration and the keys it takes."""

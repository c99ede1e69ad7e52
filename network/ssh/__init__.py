"""The sandbox's own sshd: its configuration, its keys, its log."""

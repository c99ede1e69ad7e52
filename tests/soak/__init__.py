"""A soak: one sandbox for hours, a fault every minute, and an agent that commits all the time. Not part of `make test`."""

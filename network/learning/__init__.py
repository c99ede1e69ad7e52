"""Learning runs: the requests that a run made at names which were opened for it, and the allowlist that permits them again."""

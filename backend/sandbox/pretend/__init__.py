"""A pretend internet for the demo and the tests: resolver, git host and API, on documentation addresses only."""

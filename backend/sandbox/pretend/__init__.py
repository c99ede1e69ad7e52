"""An internet of the sandbox's own, for the demo and the tests: resolver, git host, API. Documentation addresses only."""

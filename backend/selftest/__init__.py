"""The self-test: tests the protections from inside, as the agent."""

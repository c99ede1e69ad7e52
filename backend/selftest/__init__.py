"""The protections, tested from the inside as the agent."""

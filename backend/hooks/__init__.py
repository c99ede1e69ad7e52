"""What runs as the agent, inside its session: standard library only, started in milliseconds, trusted by nobody."""

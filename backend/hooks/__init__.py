"""Hooks for Claude Code. They run as the agent, so their output is untrusted. Standard library only, to start fast."""

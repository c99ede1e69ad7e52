"""Real container engines, each in namespaces of its own. Minutes each, so not in CI: `make engines`."""

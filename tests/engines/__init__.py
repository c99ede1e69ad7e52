"""Tests with real container engines in their own namespaces. `make engines`; not in CI because each takes minutes."""

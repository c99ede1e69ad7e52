"""Boot: steps as data, run in parallel in the order of their dependencies."""

"""Boot: steps as data, run by need and side by side."""

"""The gate: which connections pass, and which credential goes where."""

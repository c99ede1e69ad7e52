"""The version of Codetainer. pyproject.toml takes it from here, so no process has to read the metadata of packages (9 ms)."""

VERSION = "0.1.0"

"""The operator's settings: declared in `declared.py`, read from the environment by `environment.py`."""

from backend.settings.declared import VARIABLES, Secrets, Settings
from backend.settings.environment import EXIT_CODE, SettingsError, environment, load, variables, with_files_read

__all__ = [
    "EXIT_CODE",
    "VARIABLES",
    "Secrets",
    "Settings",
    "SettingsError",
    "environment",
    "load",
    "variables",
    "with_files_read",
]

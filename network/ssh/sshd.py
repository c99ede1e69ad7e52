"""sshd's configuration as text, and the meaning of its log lines. The keys are in a separate file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from string import Template

TEMPLATE = Path(__file__).with_name("sshd.template")  # for the caller of `render`: nothing here opens a file
_ACCEPTED = re.compile(r"Accepted publickey for root from (\S+) port \d+ ssh2: (\S+ SHA256:[A-Za-z0-9+/]+)")
# The log lines of clients without a valid key, in OpenSSH 9.2 to 10.0.
_REJECTED = re.compile(
    r"Failed \S+ for |Invalid user |User \S+ from \S+ not allowed|Connection (?:closed|reset) by (?:auth|invalid)|"
    r"Unable to negotiate|banner exchange|kex_exchange_identification|maximum authentication attempts|drop connection|"
    r"[Tt]imeout before authentication|Received disconnect from \S+ port \d+:\d+: .*\[preauth\]|Disconnecting "
)


@dataclass(frozen=True, slots=True)
class Places:
    """sshd's files, below `folder`, which only root can read."""

    folder: Path

    @property
    def configuration(self) -> Path:
        return self.folder / "sshd_config"

    @property
    def host_key(self) -> Path:
        return self.folder / "host_key"

    @property
    def authorized_keys(self) -> Path:
        return self.folder / "authorized_keys"


def render(template: str, places: Places, port: int) -> str:
    """Returns the configuration file."""
    return Template(template).substitute(port=int(port), host_key=places.host_key, authorized_keys=places.authorized_keys)


class LogEvent(StrEnum):
    LISTENING = "listening"  # on IPv4, which every machine has
    NOT_LISTENING = "not listening"  # cannot listen on IPv4; sshd may continue with IPv6 alone
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    OTHER = "other"


def parse_line(text: str) -> tuple[LogEvent, str]:
    """Returns the meaning of a line of sshd's log (LogLevel INFO, on stderr) and its text; for ACCEPTED, address and key."""
    if text.startswith("Server listening on 0.0.0.0 "):
        return LogEvent.LISTENING, text
    if re.match(r"(error: )?Bind to port \d+ on 0\.0\.0\.0 failed", text):
        return LogEvent.NOT_LISTENING, text
    if login := _ACCEPTED.match(text):  # only at the start: other lines repeat a user name that the client chose
        return LogEvent.ACCEPTED, f"{login[1]} with {login[2]}"
    return (LogEvent.REJECTED if _REJECTED.search(text) else LogEvent.OTHER), text

"""sshd's configuration as text, and what its log says. The keys are in a file of their own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from string import Template

TEMPLATE = Path(__file__).with_name("sshd.template")  # for whoever renders it: nothing here opens a file
_ACCEPTED = re.compile(r"Accepted publickey for root from (\S+) port \d+ ssh2: (\S+ SHA256:[A-Za-z0-9+/]+)")
# What somebody who has no key leaves behind, by the words of OpenSSH 9.2 to 10.0.
_TURNED_AWAY = re.compile(
    r"Failed \S+ for |Invalid user |User \S+ from \S+ not allowed|Connection (?:closed|reset) by (?:auth|invalid)|"
    r"Unable to negotiate|banner exchange|kex_exchange_identification|maximum authentication attempts|drop connection|"
    r"[Tt]imeout before authentication|Received disconnect from \S+ port \d+:\d+: .*\[preauth\]|Disconnecting "
)


@dataclass(frozen=True, slots=True)
class Places:
    """sshd's files, below `folder`, which only root reads."""

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
    """The configuration file."""
    return Template(template).substitute(port=int(port), host_key=places.host_key, authorized_keys=places.authorized_keys)


class Said(StrEnum):
    LISTENING = "listening"  # over IPv4, which is there everywhere
    DEAF = "deaf"  # it could not, and may go on for IPv6 alone
    ACCEPTED = "accepted"
    TURNED_AWAY = "turned away"
    OTHER = "other"


def parse_line(text: str) -> tuple[Said, str]:
    """What a line of sshd's log (LogLevel INFO, on stderr) means, with its words; of ACCEPTED address and key."""
    if text.startswith("Server listening on 0.0.0.0 "):
        return Said.LISTENING, text
    if re.match(r"(error: )?Bind to port \d+ on 0\.0\.0\.0 failed", text):
        return Said.DEAF, text
    if found := _ACCEPTED.match(text):  # at the beginning: a stranger chooses the user name that other lines repeat
        return Said.ACCEPTED, f"{found[1]} with {found[2]}"
    return (Said.TURNED_AWAY if _TURNED_AWAY.search(text) else Said.OTHER), text

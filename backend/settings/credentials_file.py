"""The files that describe hosts with credentials: the one shipped with Codetainer, and the operator's own."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from network.gate import credentials
from network.gate.credentials import CredentialsError, Host

SHIPPED = Path(credentials.__file__).with_name("credentials.toml")


@cache
def shipped() -> tuple[Host, ...]:
    """The hosts of the shipped file, which is read once in a process."""
    return credentials.parse(SHIPPED.read_text(encoding="utf-8"), SHIPPED.name)


def read(own: Path | None = None) -> tuple[Host, ...]:
    """The shipped hosts and those of the operator's own file, if it exists. If both describe a host, the operator's file wins.

    Raises CredentialsError.
    """
    hosts = {host.name: host for host in shipped()}
    if own is not None and own.exists():
        try:
            text = own.read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise CredentialsError(f"cannot read {own}: {getattr(error, 'strerror', None) or 'not text'}") from error
        hosts |= {host.name: host for host in credentials.parse(text, own.name, credentials.variables(hosts.values()))}
    return tuple(hosts.values())

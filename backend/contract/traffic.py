"""One connection that the gate carried, as a line of the log: names, counts, times, never a path, a header or a body."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Connection:
    """`at`: when it ended, seconds since 1970. Bytes as the agent sees them. `address`: what was dialled.

    `protocol`: tls (a connection), http (a request). `count`: more than one where there were too many to be told apart; the
    rest is then that of all of them together, and `name` is "".
    """

    at: float
    protocol: str
    name: str
    address: str
    port: int
    bytes_in: int
    bytes_out: int
    seconds: float
    count: int = 1


def encode(connection: Connection) -> str:
    return json.dumps(dataclasses.asdict(connection), separators=(",", ":"))


def decode(line: str) -> Connection:
    """Raises ValueError for what is no such line."""
    try:
        return Connection(**json.loads(line))
    except TypeError as error:
        raise ValueError(f"no line of a traffic log: {error}") from error

"""The lines of the traffic log, one for each connection through the gate: names, counts, times, no paths, headers or bodies."""

from __future__ import annotations

import dataclasses
import json

from backend.contract.immutable import dataclass


@dataclass(frozen=True, slots=True)
class Connection:
    """`at` is the end, in seconds since the epoch. Bytes are as the agent sees them. `address` is the destination.

    `protocol` is tls (a connection) or http (a request). If `count` is more than 1, the line sums up connections that were too
    many to log individually, and `name` is "".
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
    """The connection of a line. Ignores other members, such as those of the chain. Raises ValueError for other text."""
    try:
        body = json.loads(line)
        return Connection(**{field.name: body[field.name] for field in dataclasses.fields(Connection) if field.name in body})
    except TypeError as error:
        raise ValueError(f"cannot read traffic log line: {error}") from error

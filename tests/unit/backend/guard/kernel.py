"""A firewall in memory for tests of the guard. It understands the commands of network.firewall.elements."""

from __future__ import annotations

import re
from typing import Any

from backend.guard.nftables import NftError

_ELEMENTS = re.compile(r"(add|delete) element inet codetainer (\S+) \{ (.*) \}")


class Kernel:
    """`sets` has the timeout of each address and port. With `broken`, every change fails and has no effect."""

    def __init__(self) -> None:
        self.sets: dict[str, dict[tuple[str, int], int]] = {"open4": {}, "http4": {}, "direct4": {}}
        self.broken = False

    def run(self, commands: str) -> str:
        if self.broken and commands:
            raise NftError("cannot change the firewall: No such file or directory")
        for line in commands.splitlines():
            if line.startswith("flush set"):
                self.sets[line.split()[-1]].clear()
                continue
            command = _ELEMENTS.fullmatch(line)
            assert command, line
            for text in command[3].split(", "):
                address, _, port, *timeout = text.split()
                key = address, int(port)
                if command[1] == "add":
                    # An existing element keeps its timeout, as on older kernels.
                    self.sets[command[2]].setdefault(key, int(timeout[1][:-1]) if timeout else 0)
                else:
                    del self.sets[command[2]][key]
        return ""

    def query(self, commands: str) -> list[dict[str, Any]]:
        name = commands.split()[-1]
        elements = [
            {"elem": {"val": {"concat": [address, port]}, "timeout": left, "expires": left}}
            for (address, port), left in self.sets[name].items()
        ]
        return [{"metainfo": {}}, {"set": {"name": name, "elem": elements}}]

    def addresses(self, name: str = "open4") -> set[str]:
        return {address for address, _ in self.sets[name]}

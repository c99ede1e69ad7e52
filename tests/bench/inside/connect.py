"""Connects COUNT times to TARGET PORT. Prints the number of refused and of otherwise failed connections, and the seconds.

If TARGET is a name, each connection resolves it first. If it is a network (192.0.2.0/24), its addresses are used in turn.
"""

import ipaddress
import itertools
import json
import socket
import sys
import time
from collections.abc import Callable

target, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def by_name() -> str:
    return str(socket.getaddrinfo(target, port, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])


def in_turn() -> Callable[[], str]:
    addresses = itertools.cycle(ipaddress.ip_network(target).hosts())
    return lambda: str(next(addresses))


address = in_turn() if "/" in target else by_name
refused = failed = 0
seen = set()
began = time.monotonic()
for _ in range(count):
    try:
        ip = address()
        seen.add(ip)
        with socket.create_connection((ip, port), timeout=5):
            pass
    except ConnectionRefusedError:
        refused += 1
    except OSError:
        failed += 1
print(json.dumps({"refused": refused, "failed": failed, "addresses": len(seen), "seconds": time.monotonic() - began}))

"""Connects COUNT times to PORT; prints how many were refused, how many failed otherwise, and the seconds it took.

NAME asks DNS before each connect; a network (192.0.2.0/24) goes through its addresses in turn and asks nobody.
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
        found = address()
        seen.add(found)
        with socket.create_connection((found, port), timeout=5):
            pass
    except ConnectionRefusedError:
        refused += 1
    except OSError:
        failed += 1
print(json.dumps({"refused": refused, "failed": failed, "addresses": len(seen), "seconds": time.monotonic() - began}))

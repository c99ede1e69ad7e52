"""Sends datagrams that the firewall refuses: ADDRESS PORT RATE SECONDS. Prints their number and the actual rate."""

import contextlib
import json
import socket
import sys
import time

address, port, rate, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
sent = 0
began = time.monotonic()
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.setblocking(False)
    while (elapsed := time.monotonic() - began) < seconds:
        for _ in range(int(elapsed * rate) - sent):
            with contextlib.suppress(OSError):  # refused, as intended
                sock.sendto(b"x", (address, port))
            sent += 1
        time.sleep(0.0005)
print(json.dumps({"sent": sent, "rate": sent / (time.monotonic() - began)}))

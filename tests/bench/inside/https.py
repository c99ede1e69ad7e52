"""Requests https://HOST/PATH COUNT times, each on a new connection. Prints the ms of each, and the total bytes and seconds."""

import json
import socket
import ssl
import sys
import time

host, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
context = ssl.create_default_context()
address = str(socket.getaddrinfo(host, 443, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
taken, received = [], 0
buffer = bytearray(1 << 20)
began = time.monotonic()
for _ in range(count):
    start = time.monotonic()
    with context.wrap_socket(socket.create_connection((address, 443), timeout=60), server_hostname=host) as sock:
        sock.sendall(request)
        first = sock.recv_into(buffer)
        taken.append((time.monotonic() - start) * 1000)
        while first:
            received += first
            first = sock.recv_into(buffer)
print(json.dumps({"ms": taken, "bytes": received, "seconds": time.monotonic() - began}))

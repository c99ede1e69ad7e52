"""Queries a resolver for A records, WINDOW queries at a time. Prints the milliseconds of each answer and the total seconds.

Arguments: RESOLVER COUNT WINDOW NAME..., names in turn. Stops if no answer arrives for two seconds; the rest count as lost.
"""

import json
import socket
import struct
import sys
import time

resolver, count, window, names = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]


def query(number: int) -> bytes:
    name = names[number % len(names)]
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", number & 0xFFFF, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)


taken: "list[float]" = []
codes: "dict[int, int]" = {}
waiting: "dict[int, float]" = {}  # when each query was sent, by its id
sent = 0
began = time.perf_counter()
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.connect((resolver, 53))
    sock.settimeout(2)
    while len(taken) < count:
        while sent < count and len(waiting) < window:
            waiting[sent & 0xFFFF] = time.perf_counter()
            sock.send(query(sent))
            sent += 1
        try:
            answer = sock.recv(4096)
        except TimeoutError:
            break
        at = waiting.pop(struct.unpack("!H", answer[:2])[0], None)
        if at is not None:
            taken.append((time.perf_counter() - at) * 1000)
            codes[answer[3] & 15] = codes.get(answer[3] & 15, 0) + 1
print(json.dumps({"ms": taken, "seconds": time.perf_counter() - began, "lost": count - len(taken), "codes": codes}))

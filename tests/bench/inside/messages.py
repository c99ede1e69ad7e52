"""Posts a request of SIZE bytes to the model at HOST, COUNT times on each of PARALLEL connections, with the HEADER.

Prints the ms until each answer's first byte, and the total seconds.
"""

import http.client
import json
import ssl
import sys
import threading
import time

host, size, count, parallel, header = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
text = "some words in a line\n" * (size // 22)
body = json.dumps({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": text}]}).encode()
name, _, value = header.partition(": ")
context = ssl.create_default_context()
taken: "list[float]" = []


def post() -> None:
    connection = http.client.HTTPSConnection(host, timeout=60, context=context)
    connection.connect()
    for _ in range(count):
        start = time.monotonic()
        connection.request("POST", "/v1/messages", body, {name: value, "Content-Type": "application/json"})
        answer = connection.getresponse()
        taken.append((time.monotonic() - start) * 1000)
        answer.read()
        assert answer.status == 200, answer.status


began = time.monotonic()
threads = [threading.Thread(target=post) for _ in range(parallel)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(taken) == count * parallel
print(json.dumps({"ms": taken, "seconds": time.monotonic() - began}))

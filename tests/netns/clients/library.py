"""Runs a plan (tests/netns/clients/rows.py) with a Python library: requests or httpx. Usage: library.py LIBRARY PLAN"""

import json
import sys
from pathlib import Path
from typing import Any

library, plan = sys.argv[1:]
client: Any
if library == "requests":
    import requests

    client, options = requests.Session(), {"stream": True}
else:
    import httpx

    client, options = httpx.Client(http2=True, follow_redirects=True, timeout=30), {}

for step in json.loads(Path(plan).read_text()):
    if step.get("wait"):
        sys.stdin.readline()
        continue
    result = {"status": 0, "size": 0, "error": ""}
    try:
        body = bytes(step["body"]) if step["body"] else None
        keyword = {"data" if library == "requests" else "content": body}
        answer = client.request(step["method"], step["url"], headers=step["headers"], **keyword, **options)
        result["size"], result["status"] = len(answer.content), answer.status_code
    except Exception as error:
        result["error"] = f"{type(error).__name__}: {error}"
    print(json.dumps(result), flush=True)

"""Runs a plan (tests/netns/clients/rows.py) with Anthropic's SDK for Python, which finds the key in the environment."""

import json
import sys
from pathlib import Path

import anthropic  # type: ignore[import-not-found]  # only in the sandbox, from build/clients

client = anthropic.Anthropic(timeout=60)
for step in json.loads(Path(sys.argv[1]).read_text()):
    if step.get("wait"):
        sys.stdin.readline()
        continue
    result = {"status": 0, "size": 0, "error": ""}
    ask = {
        "model": "claude", "max_tokens": 10, "extra_headers": step["headers"],
        "messages": [{"role": "user", "content": "a" * (step["body"] or 1)}],
    }  # fmt: skip
    if step.get("bare"):
        ask["extra_headers"] = {**step["headers"], "Authorization": anthropic.Omit()}
    try:
        if step.get("stream"):
            with client.messages.stream(**ask) as stream:
                result["size"] = len(stream.get_final_text())
        else:
            result["size"] = len(client.messages.create(**ask).content[0].text)
        result["status"] = 200
    except anthropic.APIStatusError as error:
        result["status"], result["error"] = error.status_code, str(error)
    except Exception as error:
        result["error"] = f"{type(error).__name__}: {error}"
    print(json.dumps(result), flush=True)

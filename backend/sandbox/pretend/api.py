"""A stand-in for the Anthropic API with which Claude Code works: messages, streamed or not, with a scripted turn.

If a conversation offers a Bash tool, the first answer calls it once, with the command after "please run:" in the conversation,
else with COMMAND. With "please search:" it calls WebSearch instead. All other answers are SENTENCE. A message that contains
PATIENCE is answered only when the client hangs up, or after a minute. One that contains REJECTED gets an error. A conversation
can ask for failures (faults.py). Format: https://docs.anthropic.com/en/api/messages.
"""

from __future__ import annotations

import itertools
import json
import re
import select
import socket
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from backend.sandbox.pretend.faults import Fault, Faults

if TYPE_CHECKING:
    from backend.sandbox.pretend.web import Handler

COMMAND = "curl -sS -m 5 https://telemetry.example.net/ || true; git -C /workspace/repo log --oneline | cat"
SENTENCE = "Done: the repository is cloned, and an unlisted host was refused by the sandbox."
MAX_EXCERPT = 2000  # characters of a message that are recorded
MAX_MESSAGES, MAX_EARLIER = 20, 200  # earlier messages in the record, and characters of each
PATIENCE = "take your time"
PATIENCE_SECONDS = 60.0
REJECTED = "this is refused"
REASON = "refused as asked"  # in the error
REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)
MODEL_PATHS = ("/v1/messages", "/v1/messages/count_tokens")


class Conversation:
    """The API's answers, with message numbers that count up."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self.faults = Faults()

    def reply(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request, in the API's format."""
        tools = {tool.get("name") for tool in request.get("tools", ()) if isinstance(tool, dict)}
        number = next(self._ids)
        search = re.search(r"(?m)^please search: (.+)$", "\n".join(_messages(request)))
        if search and "Bash" in tools and not _has_result(request):
            content: list[dict[str, Any]] = [
                {"type": "tool_use", "id": f"toolu_{number:024d}", "name": "WebSearch", "input": {"query": search[1]}}
            ]
            reason = "tool_use"
        elif "Bash" in tools and not _has_result(request):
            command = re.search(r"(?m)^please run: (.+)$", "\n".join(_messages(request)))
            call = {"command": command[1] if command else COMMAND, "description": "Look around"}
            content = [{"type": "tool_use", "id": f"toolu_{number:024d}", "name": "Bash", "input": call}]
            reason = "tool_use"
        else:
            content, reason = [{"type": "text", "text": SENTENCE}], "end_turn"
        return {
            "id": f"msg_{number:024d}", "type": "message", "role": "assistant", "model": request.get("model", "claude"),
            "content": content, "stop_reason": reason, "stop_sequence": None,
            "usage": {"input_tokens": 1000, "output_tokens": 20},
        }  # fmt: skip


def _has_result(request: Mapping[str, Any]) -> bool:
    contents = [message.get("content") for message in request.get("messages", ()) if isinstance(message, dict)]
    blocks = [block for content in contents if isinstance(content, list) for block in content]
    return any(isinstance(block, dict) and block.get("type") == "tool_result" for block in blocks)


def summary(body: bytes) -> dict[str, object]:
    """A summary of a request for the log: model, true if streamed, the ends of its messages, the user's last words."""
    try:
        request = json.loads(body) if body else {}
    except ValueError:
        return {}
    if not isinstance(request, dict):
        return {}
    return {
        "model": request.get("model"),
        "stream": bool(request.get("stream")),
        "asked": _last_message(request)[-MAX_EXCERPT:],
        "said": _said(request)[-MAX_EXCERPT:],
        "earlier": [text[-MAX_EARLIER:] for text in list(_messages(request))[-MAX_MESSAGES:-1]],
    }


def _last_message(request: Mapping[str, Any]) -> str:
    return next(iter(reversed(list(_messages(request)))), "")


def _said(request: Mapping[str, Any]) -> str:
    """The text of the last message, without what Claude Code adds to it."""
    messages = request.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    content = last.get("content") if isinstance(last, dict) else None
    return REMINDER.sub("", content if isinstance(content, str) else "\n".join(_texts(content))).strip()


def _messages(request: Mapping[str, Any]) -> Iterator[str]:
    messages = request.get("messages")
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        yield content if isinstance(content, str) else "\n".join(_texts(content))


def _texts(content: object) -> Iterator[str]:
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict):
            yield str(block.get("text") or block.get("content") or block.get("type"))


def serve(handler: Handler, conversation: Conversation, path: str, body: bytes) -> None:
    if path not in MODEL_PATHS:  # telemetry, which may be compressed
        _json(handler, 200, {})
        return
    try:
        request = json.loads(body) if body else {}
    except ValueError:
        request = None
    if not isinstance(request, dict):
        _json(handler, 400, {"type": "error", "error": {"type": "invalid_request_error", "message": "not a JSON object"}})
        return
    if path == "/v1/messages/count_tokens":
        _json(handler, 200, {"input_tokens": 1000})
    else:
        if PATIENCE in "\n".join(_messages(request)):
            select.select([handler.connection], [], [], PATIENCE_SECONDS)
        if REJECTED in "\n".join(_messages(request)):
            _json(handler, 400, {"type": "error", "error": {"type": "invalid_request_error", "message": REASON}})
            return
        fault = conversation.faults.due("\n".join(_messages(request)), time.time())
        if fault is not None and fault.kind != "cut":
            _fail(handler, fault)
            return
        message = conversation.reply(request)
        if fault is not None:
            _stream(handler, message, breaks_off=True)
            return
        if request.get("stream"):
            _stream(handler, message)
        else:
            _json(handler, 200, message)


def _json(handler: Handler, status: int, body: Mapping[str, Any]) -> None:
    handler.reply(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


def _fail(handler: Handler, fault: Fault) -> None:
    """Answers with an error, or not at all: then the connection ends when the client hangs up, or when the time is over."""
    if fault.status:
        body = {"type": "error", "error": {"type": fault.error, "message": fault.message}}
        handler.reply(fault.status, json.dumps(body).encode(), {"Content-Type": "application/json", **dict(fault.headers)})
        return
    select.select([handler.connection], [], [], fault.left)
    handler.close_connection = True


def _stream(handler: Handler, message: Mapping[str, Any], *, breaks_off: bool = False) -> None:
    """Sends a message as server-sent events, in the same order as the real API. `breaks_off`: only the first half of them."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    events = list(_events(message))
    for event in events[: len(events) // 2] if breaks_off else events:
        data = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        handler.wfile.flush()
    if breaks_off:
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)
        return
    handler.wfile.write(b"0\r\n\r\n")


def _events(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    usage = message["usage"]
    yield {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}
    for index, block in enumerate(message["content"]):
        if block["type"] == "tool_use":
            yield {"type": "content_block_start", "index": index, "content_block": {**block, "input": {}}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        else:
            yield {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}}
            delta = {"type": "text_delta", "text": block["text"]}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": message["stop_reason"], "stop_sequence": None},
        "usage": {"output_tokens": usage["output_tokens"]},
    }
    yield {"type": "message_stop"}

"""Judges what was measured: one word for each cell of the table. What is not known to be good is "no"."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from tests.netns.clients.host import RETRY_AFTER
from tests.netns.clients.measure import API_KEY, GH_PAT, Measured, Result
from tests.netns.clients.payloads import LARGE, LARGE_TEXT
from tests.netns.clients.rows import COLUMNS, SYSTEM, Client
from tests.netns.clients.stored import NO, OLD, YES, Row, Stored

Lines = Sequence[Mapping[str, Any]]


def outcome(column: str, results: Sequence[Result], record: Lines) -> str:
    """What happened in one cell at one host. `record` has the host's requests for it."""
    last = results[-1]
    if not record:
        return NO
    if column == "login":
        challenged = [result for result in results if result.step.get("bare")]
        passed = all(result.status == 401 for result in challenged) and last.status == 200
        return YES if passed and record[-1]["credential"] else NO
    if column == "limit":
        refused, *later = [line["time"] for line in record if line["number"] > 0] or [0.0]
        if last.status != 200:
            return "reported" if not later and last.status in (0, 429) else NO
        if not later:
            return NO
        return "waits" if later[0] - refused >= RETRY_AFTER else "repeats"
    if any(result.status != 200 for result in results):
        return NO
    if column == "redirect":
        return YES if len(record) > 1 and "there" in record[-1]["target"] else NO
    if column == "upload":
        return YES if max(line["bytes"] for line in record) >= min(LARGE, LARGE_TEXT) else NO
    if column == "download" and last.size >= 0:
        return YES if last.size >= min(LARGE, LARGE_TEXT // 6 * 6) else NO
    if column in ("length", "stream"):
        return OLD if record and record[-1]["version"] == "1.1" else YES
    return YES


def broken(result: Result, record: Lines) -> str:
    """What happened when an answer broke off. Only one that was asked for again may count as complete."""
    if not record:
        return NO
    if result.status != 200:
        return "reported"
    return "repeats" if sum(line["number"] > 0 for line in record) > 1 else NO


def cell(measured: Measured, client: Client, column: str) -> str:
    """Combines the outcomes at both hosts."""
    words: dict[str, str] = {}
    for where in ("gate", "through"):
        results = [r for r in measured.results[client.key] if r.step["column"] == column and r.step["where"] == where]
        if not results:
            continue
        if column == "reset":
            for result in results:
                requests = _requests(measured, client.key, "broken" if result.step.get("broken") else column, where)
                words[f"{where} {result.step.get('broken')}"] = broken(result, requests)
        else:
            words[where] = outcome(column, results, _requests(measured, client.key, column, where))
    if not words:
        return ""
    if column in ("length", "stream") and NO not in words.values():
        return words.get("through", words.get("gate", ""))
    if NO in words.values():
        return NO
    return " / ".join(dict.fromkeys(words.values()))


def _requests(measured: Measured, client: str, column: str, where: str) -> Lines:
    lines = [line for line in measured.record if line["kind"] == "request"]
    lines = [line for line in lines if line["client"] == client and line["column"] == column]
    return [line for line in lines if line["host"].endswith(".test") is (where == "through")]


def judged(measured: Measured, rows: Sequence[Client], date: str) -> Stored:
    """Returns what was measured for clients, to be stored."""

    def trust(client: Client) -> str:
        without, own = measured.trusting[client.key]
        return SYSTEM if without else client.trust if own else "nothing"

    return {
        client.key: Row(
            date, measured.versions[client.key], measured.haproxy, trust(client),
            {column: cell(measured, client, column) for column in COLUMNS},
        )
        for client in rows
    }  # fmt: skip


def details(measured: Measured, client: Client, column: str) -> str:
    """The results of the steps of a cell, for messages."""
    results = [result for result in measured.results[client.key] if result.step["column"] == column]
    return "; ".join(f"{r.step['where']}: {r.status} {r.size} {r.error}" for r in results)


def arrived(measured: Measured) -> list[str]:
    """Cookies and foreign credentials that arrived at a host with a credential, as texts."""
    found = []
    for line in measured.record:
        if line["kind"] == "request" and not line["host"].endswith(".test"):
            if line["cookie"]:
                found.append(f"a cookie arrived at {line['host']}: {line['client']}, {line['column']}")
            if line["credential"] and not any(
                real in _plain(line["credential"]) for real in (GH_PAT, API_KEY, "AWS4", "RemoteAuth")
            ):
                found.append(f"another credential arrived at {line['host']}: {line['client']}, {line['column']}")
    return found


def _plain(credential: str) -> str:
    scheme, _, value = credential.partition(" ")
    return base64.b64decode(value).decode() if scheme.lower() == "basic" else credential

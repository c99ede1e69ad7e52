"""Reads the allowlist: the file, the hosts of its package registries, and the operator's additions."""

from __future__ import annotations

from collections.abc import Iterator

from backend.boot import registries
from backend.boot.plan import StepFailed
from backend.context import Boot
from backend.contract.events import ListRead
from backend.settings.values import GateMode
from network import allowlist, foreign_syntax, grant
from network.allowlist import Allowlist, AllowlistError, Entry

MAX_REPORTED = 500  # names in the journal


async def run(boot: Boot) -> str:
    path = boot.paths.domains
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StepFailed(
            f"cannot read the allowlist {path}: {error}", "Put back the file, which is part of the image."
        ) from error
    try:
        text = foreign_syntax.decode(data)
    except ValueError as error:
        raise StepFailed(f"cannot read the allowlist {path}: {error}", "Correct the allowlist and boot again.") from error
    hosts = await registries.find(allowlist.referenced_registries(text))
    try:
        listed = allowlist.parse(text, path.name, hosts)
        extra = allowlist.parse_words(boot.settings.extra_domains, "CODETAINER_EXTRA_DOMAINS")
        telemetry = allowlist.parse_words(" ".join(boot.settings.telemetry.entries), "telemetry")
    except AllowlistError as error:
        for problem in error.problems:
            boot.say("list", str(problem))
        raise StepFailed(
            f"{_invalid_lines(len(error.problems))}: {error.problems[0]}", "Correct the allowlist and boot again."
        ) from error
    for warning in (*listed.warnings, *extra.warnings):
        boot.say("list", f"warning: {warning}")
    await boot.policy.begin(listed.allowlist.merged(extra.allowlist).merged(telemetry.allowlist))
    names = [entry.pattern for entry in boot.policy.listed.entries]
    unlimited = [str(entry) for entry in boot.policy.listed.entries if grant.ANYTHING in entry.grants]
    boot.emit(
        ListRead(
            tuple(names[:MAX_REPORTED]), max(0, len(names) - MAX_REPORTED), len(names) - len(unlimited),
            tuple(unlimited[:MAX_REPORTED]),
        )
    )  # fmt: skip
    if boot.settings.gate is GateMode.OFF and len(unlimited) < len(names):
        boot.say(
            "list", "warning: CODETAINER_GATE=off: nothing limits the requests to a host, so every entry grants any request"
        )
    for entry, other in _widened(listed.allowlist, extra.allowlist):
        boot.say("list", f"warning: {entry} ({entry.source}) also grants any request that {other} ({other.source}) does not")
    for entry in boot.policy.listed.entries:
        if entry.source.startswith("@"):
            boot.say("list", f"{entry} from {entry.source}")
    return f"{len(boot.policy.listed.entries)} names"


def _widened(listed: Allowlist, extra: Allowlist) -> Iterator[tuple[Entry, Entry]]:
    """Yields entries of the operator's additions that grant more than the file's entry for the same names, with that entry."""
    for entry in extra.entries:
        other = listed.listed(entry.pattern)
        if other is not None and grant.ANYTHING in entry.grants and grant.ANYTHING not in other.grants:
            yield entry, other


def _invalid_lines(number: int) -> str:
    return "1 line of the allowlist is invalid" if number == 1 else f"{number} lines of the allowlist are invalid"

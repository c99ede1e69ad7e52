"""Reads the allowlist: the file, the hosts of its package registries, and the operator's additions."""

from __future__ import annotations

from backend.boot import registries
from backend.boot.plan import StepFailed
from backend.context import Boot
from backend.contract.events import ListRead
from network import allowlist, foreign_syntax
from network.allowlist import AllowlistError

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
    boot.emit(ListRead(tuple(names[:MAX_REPORTED]), max(0, len(names) - MAX_REPORTED)))
    for entry in boot.policy.listed.entries:
        if entry.source.startswith("@"):
            boot.say("list", f"{entry} from {entry.source}")
    return f"{len(boot.policy.listed.entries)} names"


def _invalid_lines(number: int) -> str:
    return "1 line of the allowlist is invalid" if number == 1 else f"{number} lines of the allowlist are invalid"

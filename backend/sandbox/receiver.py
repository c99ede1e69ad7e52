"""The process that takes one answer from a sandbox of `codetainer up --work`, as the owner of the operator's repository."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, field
from typing import Any

from backend.contract.immutable import dataclass
from backend.sandbox import intake, namespaces, own_git
from backend.sandbox.way_back import Refused, Result, Returned, Target, WayBack
from backend.system import SystemFailure, describe


@dataclass(frozen=True, slots=True)
class Failure:
    """A stream of which nothing was taken, with the branches that it had."""

    problem: str
    branches: Mapping[str, str] = field(default_factory=dict)


def receive(target: Target, stream: int, so_far: WayBack, out: int) -> None:
    """Takes one answer as the owner of the repository, and writes the result as JSON to `out`. For a process of its own."""
    parent = os.getppid()
    os.setsid()
    own_git.become_owner(target.folder)
    namespaces.die_with_parent(parent)  # a change of credentials clears it
    intake.limit_memory()
    answer: Mapping[str, Any]
    try:
        answer = asdict(intake.take(target, stream, so_far.returned, so_far.created))
    except Refused as error:
        answer = {"problem": str(error), "branches": dict(error.branches)}
    except SystemFailure as error:
        answer = {"problem": str(error)}
    except OSError as error:
        answer = {"problem": describe(error)}
    data = json.dumps(answer).encode()
    while data:
        data = data[os.write(out, data) :]


def decoded(data: bytes) -> Result | Failure:
    """The result that `receive` has written."""
    if not data:
        return Failure("the receiver ended without a result")
    fields = json.loads(data)
    if "problem" in fields:
        return Failure(**fields)
    fields["returned"] = {name: Returned(**one) for name, one in fields["returned"].items()}
    return Result(**fields)

"""Reduces the requests that were seen at a host to the smallest grant (network/grant.py) that permits them again.

Reading is `read` as a whole. Any other method is granted by path, which is generalised as little as another run needs:

1. A segment that looks like an id (a number, a UUID, a hexadecimal digest, a long word with digits), or that no rule can
   contain literally, becomes `*`.
2. If paths of the same length differ in one segment, and more than MAX_ALIKE values of it were seen, the segment becomes `*`.
3. If a method still has more than MAX_RULES paths, those with the same first segment become their common beginning and `/**`.

What lies below twelve segments becomes `**`. Nothing becomes `METHOD:/**`. Paths beyond the limits are left out, and counted. A
request that no grant can permit (a WebSocket,
a body of a GET, another method in a header, a path that can be read in two ways) leaves only `open`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from network import grant

MAX_ALIKE = 4
MAX_RULES = 12  # of a method
MAX_PATHS = 64  # that are remembered of a host; the others are counted
MAX_SEGMENTS = 12  # of a path; what lies below becomes `**`
MAX_LOGGED = 600  # characters of a path; the gate cuts longer ones in its log
# What the gate refuses where a grant limits requests (network/gate/grants.py: UNCLEAR, SPELLED, SINGLE_DOT).
_UNCLEAR = re.compile(r"[\\;\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}|//|/\.\.(/|\Z)")
_SPELLED = re.compile(r"%2[fF]")
_SINGLE_DOT = re.compile(r"/\.(/|\Z)")
_LITERAL = re.compile(r"[A-Za-z0-9._~!&()+,=:@-]+\Z")
_ID = re.compile(
    r"[0-9]+\Z|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z|(?=.*[0-9])([0-9a-f]{8,}|[a-z0-9_-]{20,})\Z", re.I
)
# Why only `open` permits a request again, by the word in the gate's log (network/gate/learning.py).
FEATURES: Mapping[str, str] = {
    "upgrade": "a WebSocket or another protocol",
    "override": "another method in a header or the query",
    "body": "a GET, HEAD or OPTIONS with a body",
}
OTHER_METHOD, TWO_WAYS = "a method that no grant names", "a path that can be read in two ways"


@dataclass(slots=True)
class Requests:
    """The requests on a port of a host: their numbers by method, and the generalised paths of those that write."""

    methods: dict[str, int] = field(default_factory=dict)
    paths: dict[tuple[str, str], None] = field(default_factory=dict)  # method and path, after step 1
    beyond: int = 0  # writing requests whose path was not remembered
    needs_open: dict[str, None] = field(default_factory=dict)  # why no other grant suffices
    _granted: Granted | None = None  # the last result; the agent decides how much work it is

    @property
    def count(self) -> int:
        return sum(self.methods.values())

    def add(self, method: str, path: str, feature: str = "") -> None:
        """Adds a request. `path` is as it was sent, without the query; `feature` is a key of FEATURES, or ""."""
        name = method if method in grant.METHODS else "other"
        if name not in self.methods:
            self._granted = None
        self.methods[name] = self.methods.get(name, 0) + 1
        if problem := FEATURES.get(feature) or _problem(method, path):
            self.needs_open[problem] = None
            self._granted = None
            return
        if method in grant.READING:
            return
        key = (method, _generalised(path)) if len(path) <= MAX_LOGGED else None
        if key in self.paths:
            return
        self._granted = None
        if key is not None and len(self.paths) < MAX_PATHS:
            self.paths[key] = None
        else:
            self.beyond += 1

    @property
    def grant(self) -> Granted:
        """The smallest grant that permits these requests again. Raises ValueError if there are none."""
        if not self.count:
            raise ValueError("no requests: the empty grant would permit any")
        if self._granted is None:
            self._granted = self._reduced()
        return self._granted

    def _reduced(self) -> Granted:
        if self.needs_open:
            return Granted(grant.ANYTHING, 0, False)
        words = [grant.READ] if any(method in grant.READING for method in self.methods) else []
        left_out, widened = self.beyond, False
        for method in dict.fromkeys(method for method, _ in self.paths):
            paths = sorted(alike(path for other, path in self.paths if other == method))
            if len(paths) > MAX_RULES:
                paths, widened = sorted(common(paths)), True
            left_out += len(paths[MAX_RULES:])
            words += [f"{method}:{path}" for path in paths[:MAX_RULES]]
        left_out += len(words[grant.MAX_RULES :])
        words = words or [grant.READ]  # no words would permit any request
        return Granted(grant.parse([(0, word) for word in words[: grant.MAX_RULES]]), left_out, widened)


@dataclass(frozen=True, slots=True)
class Granted:
    """A grant (the empty tuple: any request), the number of paths that it leaves out, and whether it contains a `/**`."""

    words: tuple[str, ...]
    left_out: int
    widened: bool


def _problem(method: str, path: str) -> str:
    """Why no grant can permit a request; "" if one can."""
    if method not in grant.METHODS:
        return OTHER_METHOD
    decoded = unquote(path, errors="replace")
    if not path.startswith("/") or "%00" in path or re.search(r"%(?![0-9A-Fa-f]{2})", path) or _UNCLEAR.search(decoded):
        return TWO_WAYS
    if method not in grant.READING and (_SPELLED.search(path) or _SINGLE_DOT.search(decoded)):
        return TWO_WAYS
    return ""


def _generalised(path: str) -> str:
    """A decoded path without trailing slashes, with `*` for ids and for what a rule cannot contain."""
    sent = unquote(path, errors="replace").rstrip("/").split("/")[1:]
    segments = [one if _is_literal(one) else "*" for one in sent[:MAX_SEGMENTS]]  # `**` of the agent's, too
    text = "/" + "/".join([*segments, "**"] if len(sent) > MAX_SEGMENTS else segments)
    while len(text) > grant.MAX_PATH:  # long words first: they are the least likely to be names of an interface
        segments = text.split("/")
        longest = max(range(len(segments)), key=lambda index: len(segments[index]))
        segments[longest] = "*"
        text = "/".join(segments)
    return text


def _is_literal(segment: str) -> bool:
    return bool(_LITERAL.match(segment)) and not _ID.match(segment)


def alike(paths: Iterable[str]) -> list[str]:
    """Step 2: `*` for a segment that has more than MAX_ALIKE values where all others are equal, or one of which is `*`."""
    found = dict.fromkeys(tuple(path.split("/")) for path in paths)
    for _ in range(MAX_SEGMENTS):
        before = len(found)
        for at in range(1, max((len(path) for path in found), default=0)):
            found = _merged(found, at)
        if len(found) == before:
            break
    return ["/".join(path) for path in found]


def _merged(paths: Iterable[tuple[str, ...]], at: int) -> dict[tuple[str, ...], None]:
    """The paths, with those merged that are alike in all segments but the one at a place."""
    groups: dict[tuple[tuple[str, ...], tuple[str, ...]], dict[tuple[str, ...], None]] = {}
    merged: dict[tuple[str, ...], None] = {}
    for path in paths:
        if at < len(path) and path[at] != "**":
            groups.setdefault((path[:at], path[at + 1 :]), {})[path] = None
        else:
            merged[path] = None
    for (head, tail), same in groups.items():
        wide = (*head, "*", *tail)
        if len(same) > MAX_ALIKE or wide in same:
            merged[wide] = None
        else:
            merged |= same
    return merged


def common(paths: Iterable[str]) -> list[str]:
    """Step 3: the common beginning and `/**` for paths that share a first segment; those that share with no other stay."""
    groups: dict[str, list[list[str]]] = {}
    for path in paths:
        segments = path.split("/")[1:]
        groups.setdefault(segments[0], []).append(segments)
    result = []
    for first, group in groups.items():
        if len(group) == 1 or first in ("*", "**", ""):
            result += ["/" + "/".join(segments) for segments in group]
            continue
        shared = 0
        while all(len(segments) > shared + 1 and segments[shared] == group[0][shared] for segments in group):
            shared += 1
        # A rule with `/**` does not match the path above it.
        result += ["/" + "/".join([*group[0][:shared], "**"])] if shared else ["/" + "/".join(s) for s in group]
    return result

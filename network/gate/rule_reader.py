"""Applies the gate's rendered HAProxy rules to a request of which only method and path are known.

So a prediction has no rules of its own: it follows those that HAProxy gets. A test has three results: true, false, and unknown
if it depends on a body or on GitHub. Fetches, converters and tests are those that the rules use; any other raises Unreadable.
Source: HAProxy configuration manual 2.6.

Length: one small language, whose parts call each other.
"""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

VERDICT = "txn.verdict"
_SKIPPED = (
    "wait-for-body", "del-header", "set-header", "set-log-level", "use-service", "do-resolve", "set-dst", "set-dst-port",
)  # fmt: skip
_BODILESS = (b"GET", b"HEAD", b"OPTIONS")
_COMPARISONS = {
    "eq": int.__eq__, "le": int.__le__, "lt": int.__lt__, "ge": int.__ge__, "gt": int.__gt__,
}  # fmt: skip
_HEX = re.compile(rb"%([0-9A-Fa-f]{2})")
_NOT_HEX = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class Unreadable(ValueError):
    """A rule that this module does not know."""


class Unknown:
    """The value of what is not known before a request is made."""


UNKNOWN = Unknown()
Value = bytes | bool | int | None | Unknown  # None: the fetch fails, or the variable is not set


@dataclass(frozen=True, slots=True)
class Known:
    """A request without a body if the method has none; `target` is path and query. Names of headers are in lower case."""

    method: bytes
    target: bytes
    headers: Mapping[str, bytes]
    variables: Mapping[str, bytes] = field(default_factory=dict)
    files: Mapping[str, Sequence[str]] = field(default_factory=dict)  # lists of patterns, by path


@dataclass(frozen=True, slots=True)
class Decision:
    """`verdict` and `answer` of the rule that refuses the request; "" if none does for sure.

    `open` are the questions that are left: the names of Lua actions, or verdicts of rules that depend on the body. `variables`
    are those after the last rule.
    """

    verdict: str
    answer: str
    open: tuple[str, ...]
    variables: Mapping[str, Value]

    def text(self, variable: str) -> str:
        value = self.variables.get(variable)
        return value.decode("ascii", "backslashreplace") if isinstance(value, bytes) else ""


def _parts(request: Known) -> Mapping[str, Value]:
    """The fetches without arguments."""
    path, mark, query = request.target.partition(b"?")
    body = None if request.method in _BODILESS else UNKNOWN
    return {
        "method": request.method, "path": path, "url": request.target, "query": query if mark else None, "fc_http_major": 1,
        "req.hdrs": b"".join(b"%s: %s\r\n" % (name.encode(), value) for name, value in request.headers.items()),
        "req.body": body or b"", "req.body_len": body or 0, "req.body_size": body or 0,
    }  # fmt: skip


class Reader:
    """The state while rules are applied."""

    def __init__(self, request: Known) -> None:
        self.request = request
        self.parts = _parts(request)
        self.variables: dict[str, Value] = dict(request.variables)
        self.acls: dict[str, list[Sequence[str]]] = {}
        self.open: list[str] = []
        self.last = self.reason = ""  # the variable that was set last, and the last verdict, applied or not
        self.by_lua = False  # the next refusal is that of a Lua action

    def decide(self, rules: Iterable[str]) -> Decision:
        """The decision of rules, in their order. Raises Unreadable."""
        for rule in rules:
            words = _words(rule)
            if words[0] == "acl":
                self.acls.setdefault(words[1], []).append(words[2:])
            elif words[0] == "http-request" and (answer := self._apply(words[1], words[2:])) is not None:
                return Decision(self.reason, answer, (), self.variables)
        return Decision("", "", tuple(dict.fromkeys(self.open)), self.variables)

    def _apply(self, action: str, words: Sequence[str]) -> str | None:
        """Applies a rule. Returns the body of the answer if it refuses the request."""
        words, holds = self._condition(words)
        kind, _, rest = action.partition("(")
        variable = rest.removesuffix(")")
        if kind == "set-var":
            if variable == VERDICT:
                self.reason, self.by_lua = words[0].removeprefix("str(").removesuffix(")"), False
            self._set(variable, words[0], holds)
        elif kind == "unset-var":
            if holds is not False:
                self.variables[variable] = None if holds else UNKNOWN
        elif kind == "deny":
            if holds:
                return words[-1]
            if holds is None and not self.by_lua:
                self.open.append(self.reason)
        elif kind.startswith("lua."):
            if holds is not False:
                self.open.append(kind.removeprefix("lua."))
                self.variables[self.last], self.by_lua = UNKNOWN, True  # rules.py (checked_by_lua): the action sets it
        elif kind not in _SKIPPED:
            raise Unreadable(f"action {kind}")
        return None

    def _set(self, variable: str, expression: str, holds: bool | None) -> None:
        if holds is False:
            return
        value = self._value(expression) if holds else UNKNOWN
        if value is not None:  # a failed fetch leaves the variable as it was
            self.variables[variable] = value
        self.last = variable if variable != VERDICT else self.last

    # --- conditions ---

    def _condition(self, words: Sequence[str]) -> tuple[Sequence[str], bool | None]:
        """The words before `if` or `unless`, and whether the condition holds."""
        for keyword in ("if", "unless"):
            if keyword in words:
                at = len(words) - 1 - words[::-1].index(keyword)
                holds = self._any(words[at + 1 :])
                return words[:at], holds if keyword == "if" else _not(holds)
        return words, True

    def _any(self, words: Sequence[str]) -> bool | None:
        """The value of terms, where `||` separates alternatives."""
        results: list[bool | None] = [True]
        at = 0
        while at < len(words):
            word = words[at]
            end = words.index("}", at) if word in ("{", "!{") else at
            if word in ("||", "or"):
                results.append(True)
            elif results[-1] is not False:
                holds = self._named(word) if end == at else self._test(words[at + 1 : end])
                holds = _not(holds) if word == "!{" else holds
                results[-1] = holds if holds is False else None if None in (holds, results[-1]) else True
            at = end + 1
        return _either(results)

    def _named(self, word: str) -> bool | None:
        name = word.removeprefix("!")
        if name == "TRUE":
            return True
        if name not in self.acls:
            raise Unreadable(f"acl {name}")
        holds = _either(self._test(words) for words in self.acls[name])
        return _not(holds) if word.startswith("!") else holds

    def _test(self, words: Sequence[str]) -> bool | None:
        """A test: an expression, flags, a comparison, and values of which one has to match."""
        expression, *rest = words
        values: list[str] = []
        match, ignoring = "", False
        while rest:
            word = rest.pop(0)
            if word == "-m":
                match = rest.pop(0)
            elif word == "-i":
                ignoring = True
            elif word == "-f":
                values += self.request.files[rest.pop(0)]
            elif word != "--":
                values.append(word)
        value = self._value(expression)
        if isinstance(value, Unknown):
            return None
        if match == "found":
            return value is not None
        if value is None:
            return False
        if match == "bool":
            return bool(value)
        if isinstance(value, int):
            return _compares(value, values)
        if match == "len":
            return _compares(len(value), values)
        return any(_matches(match, value, one.encode("latin-1"), ignoring) for one in values)

    # --- expressions ---

    def _value(self, expression: str) -> Value:
        """The value of a fetch, changed by its converters."""
        fetch, *converters = _split(expression)
        value = self._fetch(*_call(fetch))
        for converter in converters:
            if value is None or isinstance(value, Unknown):
                return value
            value = self._converted(value, *_call(converter))
        return value

    def _fetch(self, name: str, arguments: Sequence[str]) -> Value:
        if name in self.parts:
            return self.parts[name]
        argument = arguments[0] if arguments else ""
        headers = self.request.headers
        if name in ("req.hdr", "req.fhdr"):
            announced = argument in ("content-length", "transfer-encoding") and self.request.method not in _BODILESS
            return UNKNOWN if announced else headers.get(argument)
        if name == "req.hdr_cnt":
            return int(argument in headers)
        if name == "req.hdr_names":
            return argument.encode().join(key.encode() for key in headers)
        if name == "var":
            return self.variables.get(argument)
        if name in ("str", "bool", "int"):
            return argument.encode("latin-1") if name == "str" else argument == "true" if name == "bool" else int(argument)
        raise Unreadable(f"fetch {name}")

    def _converted(self, value: bytes | int, name: str, arguments: list[str]) -> Value:
        text = value if isinstance(value, bytes) else b"%d" % value
        if name == "url_dec":
            return _decoded(text, everywhere=bool(arguments and arguments[0] == "1"))
        if name == "hex":
            return text.hex().upper().encode()
        if name == "lower":
            return text.lower()
        if name == "concat":
            before, middle_name, after = (*arguments, "", "")[:3]
            middle = self.variables.get(middle_name)
            if isinstance(middle, Unknown):
                return UNKNOWN
            middle = middle if isinstance(middle, bytes) else b""
            return text + before.encode("latin-1") + middle + after.encode("latin-1")
        if name == "regsub":
            pattern, new, *flags = arguments
            times = 0 if "g" in "".join(flags) else 1
            return _expression(pattern.encode("latin-1"), "i" in "".join(flags)).sub(new.encode("latin-1"), text, count=times)
        if name in ("field", "word"):  # a field may be empty
            parts = [part for part in text.split(arguments[1].encode()) if part or name == "field"]
            return parts[int(arguments[0]) - 1] if len(parts) >= int(arguments[0]) else None
        if name == "b64dec":
            return _plain(text)
        if name == "strcmp":
            other = self.variables.get(arguments[0])
            if isinstance(other, Unknown):
                return UNKNOWN
            return (text > other) - (text < other) if isinstance(other, bytes) else None
        raise Unreadable(f"converter {name}")


@lru_cache(4096)
def _words(rule: str) -> tuple[str, ...]:
    """The words of a line, without the quotes around them."""
    return tuple(shlex.split(rule))


def _plain(text: bytes) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return None


@lru_cache(4096)
def _split(text: str) -> list[str]:
    """Splits an expression, or the arguments of a function, at the commas outside quotes and parentheses."""
    parts, depth, quoted = [""], 0, False
    for character in text:
        if character == "'":
            quoted = not quoted
        elif quoted:
            parts[-1] += character
            continue
        depth += {"(": 1, ")": -1}.get(character, 0) if not quoted else 0
        if character == "," and not depth and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return parts


@lru_cache(4096)
def _call(text: str) -> tuple[str, list[str]]:
    """The name and the arguments of a fetch or converter."""
    name, parenthesis, rest = text.partition("(")
    if not parenthesis:
        return name, []
    inner = rest.removesuffix(")")
    if name == "str":
        return name, [inner]
    return name, [part[1:-1] if part.startswith("'") else part for part in _split(inner)]


def _decoded(text: bytes, *, everywhere: bool) -> bytes | None:
    """As HAProxy's url_dec: plus signs count after a question mark, or everywhere. None if % is followed by anything else."""
    if _NOT_HEX.search(text):
        return None
    path, mark, query = (b"", b"", text) if everywhere else text.partition(b"?")
    plain = path + mark + query.replace(b"+", b" ")
    return _HEX.sub(lambda found: bytes([int(found[1], 16)]), plain)


@lru_cache(4096)
def _expression(pattern: bytes, ignoring: bool) -> re.Pattern[bytes]:
    return re.compile(pattern.replace(b"[:cntrl:]", rb"\x00-\x1f\x7f"), re.IGNORECASE if ignoring else 0)


def _matches(match: str, value: bytes, wanted: bytes, ignoring: bool) -> bool:
    if match == "reg":
        return bool(_expression(wanted, ignoring).search(value))
    if ignoring:
        value, wanted = value.lower(), wanted.lower()
    tests: Mapping[str, Callable[[bytes, bytes], bool]] = {
        "": bytes.__eq__,
        "str": bytes.__eq__,
        "beg": bytes.startswith,
        "end": bytes.endswith,
        "sub": bytes.__contains__,
    }
    if match not in tests:
        raise Unreadable(f"match {match}")
    return tests[match](value, wanted)


def _compares(value: int, values: Sequence[str]) -> bool:
    if values[0] in _COMPARISONS:
        return _COMPARISONS[values[0]](value, int(values[1]))
    return any(value == int(one) for one in values)


def _not(holds: bool | None) -> bool | None:
    return None if holds is None else not holds


def _either(terms: Iterable[bool | None]) -> bool | None:
    results = set(terms)
    return True if True in results else None if None in results else False

"""The list: which names the agent may reach, on which ports, and how each port is checked.

One entry a line; `#` starts a comment. An entry is a name (that name exactly) or `*.name` (names below it, not the name
itself), optionally followed by `:` and ports, or a registry (`@npm`), which stands for the hosts that this tool's own global
configuration names:

    api.example.com
    *.example.org:443,8443/tls
    @npm

443 is checked as TLS and 80 as HTTP, both by name at the gate; any other port is opened by address unless `/tls` or `/http`
is added. Without ports an entry means 443 and 80.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from network.names import ADDRESS, EntryError, normalise

REGISTRY_TOOLS = ("npm", "pip", "go", "apt", "bun")
MAX_PORTS = 16  # of one entry


class Check(StrEnum):
    """How a connection to a port is held to its name."""

    TLS = "tls"
    HTTP = "http"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True, order=True)
class Port:
    number: int
    check: Check

    def __str__(self) -> str:
        default = DEFAULT_CHECKS.get(self.number, Check.ADDRESS)
        return str(self.number) if self.check is default else f"{self.number}/{self.check}"


DEFAULT_CHECKS = {443: Check.TLS, 80: Check.HTTP}
DEFAULT_PORTS = (Port(443, Check.TLS), Port(80, Check.HTTP))


@dataclass(frozen=True, slots=True)
class Entry:
    """One name that is open. `below` is True for `*.name`; `source` says where it stands ("domains.conf:12")."""

    name: str
    below: bool = False
    ports: tuple[Port, ...] = DEFAULT_PORTS
    source: str = ""

    @property
    def numbers(self) -> frozenset[int]:
        return frozenset(port.number for port in self.ports)

    def adding(self, ports: Iterable[Port]) -> Entry:
        """The entry with more ports; where it has a port already, it keeps its own way of checking it."""
        return replace(self, ports=(*self.ports, *(port for port in ports if port.number not in self.numbers)))

    def covers(self, other: Entry) -> bool:
        """Whether every name of the other entry is one of this entry's."""
        if not self.below:
            return self.pattern == other.pattern
        return other.name.endswith(f".{self.name}") or (other.below and other.name == self.name)

    @property
    def pattern(self) -> str:
        """The name as it is written on the list."""
        return f"*.{self.name}" if self.below else self.name

    def __str__(self) -> str:
        ports = "" if self.ports == DEFAULT_PORTS else ":" + ",".join(map(str, self.ports))
        return self.pattern + ports


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a line, where (`column` counts from 1), and what to write instead."""

    file: str
    line: int
    column: int
    text: str
    reason: str
    remedy: str = ""

    def __str__(self) -> str:
        after = f". {self.remedy}" if self.remedy else ""
        return f"{self.file}:{self.line}:{self.column}: {self.reason}: {self.text!a}{after}"


class AllowlistError(ValueError):
    """Everything that is wrong with a list, at once."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True, slots=True)
class Allowlist:
    """All entries, each pattern once."""

    entries: tuple[Entry, ...] = ()
    _index: Mapping[tuple[str, bool], Entry] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", {(entry.name, entry.below): entry for entry in self.entries})

    def match(self, name: str) -> Entry | None:
        """The entry that opens a name, or None. An exact entry wins over a wildcard, a longer wildcard over a shorter one.

        Case and one trailing dot change nothing. A name that is none (empty labels, odd characters, too long) matches
        nothing.
        """
        try:
            name = normalise(name)
        except EntryError:
            return None
        exact = self._index.get((name, False))
        if exact is not None:
            return exact
        return self._above(name)

    def above(self, entry: Entry) -> Entry | None:
        """The narrowest wildcard that an entry lies below: what would open its names if it were not there."""
        return self._above(entry.name)

    def _above(self, name: str) -> Entry | None:
        labels = name.split(".")
        for start in range(1, len(labels)):
            found = self._index.get((".".join(labels[start:]), True))
            if found is not None:
                return found
        return None

    def listed(self, pattern: str) -> Entry | None:
        """The entry with this very pattern."""
        return self._index.get((pattern.removeprefix("*."), pattern.startswith("*.")))

    def merged(self, *others: Allowlist) -> Allowlist:
        """All entries of several lists. Where two name the same pattern, their ports are put together."""
        by_pattern: dict[str, Entry] = {}
        for entry in (e for source in (self, *others) for e in source.entries):
            known = by_pattern.get(entry.pattern)
            if known is not None:
                ports = {port.number: port for port in known.ports} | {port.number: port for port in entry.ports}
                entry = replace(known, ports=tuple(ports.values()))
            by_pattern[entry.pattern] = entry
        return Allowlist(tuple(by_pattern.values()))

    def without(self, pattern: str) -> Allowlist:
        return Allowlist(tuple(entry for entry in self.entries if entry.pattern != pattern))


@dataclass(frozen=True, slots=True)
class Parsed:
    allowlist: Allowlist
    warnings: tuple[Problem, ...] = ()


def parse_entry(text: str, source: str = "") -> Entry:
    """One entry, without comment. Raises EntryError."""
    if "://" in text:
        raise EntryError(0, text, "a URL is no entry", "Write the host alone, as in example.com.")
    if re.match(r"[0-9a-fA-F.:]+/\d+\Z", text):
        raise EntryError(0, text, "an address range is no name", "Write the name: DNS decides its addresses.")
    if text.count(":") > 1 and ADDRESS.match(text):
        raise EntryError(0, text, "an address is no name", "Write the name: DNS decides its addresses.")
    host, colon, ports_text = text.partition(":")
    if "/" in host:
        raise EntryError(host.index("/"), text, "a path is no part of an entry", "Write the host alone.")
    below = host.startswith("*.")
    bare = host[2:] if below else host
    if "*" in bare:
        raise EntryError(host.rindex("*"), text, "* stands only at the front, before a dot", "Write it as in *.example.com.")
    try:
        name = normalise(bare)
    except EntryError as error:
        raise EntryError(error.offset + (2 if below else 0), text, error.reason, error.remedy) from error
    if below and len(name) > 251:
        raise EntryError(0, text[:60], "nothing fits below so long a name")
    ports = parse_ports(ports_text, len(host) + 1) if colon else DEFAULT_PORTS
    return Entry(name, below, ports, source)


def parse_ports(text: str, offset: int = 0) -> tuple[Port, ...]:
    """Ports as an entry writes them: `443,8443/tls`. Raises EntryError; `offset` is where the text stands in its entry."""
    ports: dict[int, Port] = {}
    for part in text.split(","):
        number_text, slash, check_text = part.partition("/")
        if not re.match(r"[0-9]{1,5}\Z", number_text) or not 1 <= int(number_text) <= 65535:
            raise EntryError(offset, part, "a port is a number from 1 to 65535", "Write it as in example.com:443,8443/tls.")
        number = int(number_text)
        if slash and check_text not in (Check.TLS, Check.HTTP):
            raise EntryError(offset + len(number_text) + 1, part, "a port is followed by /tls, /http or nothing")
        check = Check(check_text) if slash else DEFAULT_CHECKS.get(number, Check.ADDRESS)
        ports[number] = Port(number, check)
        offset += len(part) + 1
    if len(ports) > MAX_PORTS:
        raise EntryError(0, text, f"an entry has at most {MAX_PORTS} ports")
    return tuple(ports.values())


def referenced_registries(text: str) -> tuple[str, ...]:
    """The registry tools that a list names, each once: their hosts have to be found before the list can be parsed."""
    words = (line.split("#")[0].strip() for line in text.splitlines())
    return tuple(dict.fromkeys(word[1:] for word in words if word.startswith("@") and word[1:] in REGISTRY_TOOLS))


def parse(text: str, file: str, registries: Mapping[str, tuple[str, ...]] | None = None) -> Parsed:
    """A whole list. `registries` holds, for each tool named by an `@` entry, the entries that stand for it.

    Raises AllowlistError with every error of the text. A registry whose tool is not there, and an entry that stands twice,
    are warnings: neither opens anything.
    """
    entries: dict[str, Entry] = {}
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for number, line in enumerate(text.split("\n"), start=1):
        word = line.split("#", 1)[0].strip(" \t\r")
        if not word:
            continue
        column = line.index(word[0]) + 1
        source = f"{file}:{number}"
        try:
            found = _registry(word, source, registries or {}) if word.startswith("@") else (_one_word(word, source),)
        except EntryError as error:
            problems.append(Problem(file, number, column + error.offset, word[:80], error.reason, error.remedy))
            continue
        if not found:
            warnings.append(Problem(file, number, column, word, "the tool names no host", "Check that it is installed."))
        for entry in found:
            known = entries.get(entry.pattern)
            if known is None:
                entries[entry.pattern] = entry
            elif not word.startswith("@"):
                warnings.append(Problem(file, number, column, word, f"stands at {known.source} already"))
                entries.update({e.pattern: e for e in Allowlist((known,)).merged(Allowlist((entry,))).entries})
    if problems:
        raise AllowlistError(problems)
    return Parsed(Allowlist(tuple(entries.values())), tuple(warnings))


def _one_word(word: str, source: str) -> Entry:
    blank = re.search(r"\s", word)
    if blank:
        raise EntryError(blank.start(), word, "one entry a line", "Put the second one on a line of its own.")
    return parse_entry(word, source)


def _registry(word: str, source: str, registries: Mapping[str, tuple[str, ...]]) -> tuple[Entry, ...]:
    tool = word[1:]
    if tool not in REGISTRY_TOOLS:
        raise EntryError(0, word, "no such registry", "Use one of " + " ".join(f"@{name}" for name in REGISTRY_TOOLS) + ".")
    return tuple(parse_entry(host, f"{word} ({source})") for host in registries.get(tool, ()))


def parse_words(text: str, source: str) -> Parsed:
    """Entries given in one variable, separated by commas, blanks or newlines.

    A comma followed by a digit belongs to the ports before it (`a.example:443,8443`).
    """
    words = re.split(r"\s+|,(?!\d+(?:/\w+)?(?:[,\s]|$))", text)
    return parse("\n".join(words), source)


_SUFFIXES = """
    co.uk org.uk ac.uk gov.uk com.au net.au org.au co.nz co.jp ne.jp or.jp com.br com.cn com.mx co.in co.kr co.za com.tr com.tw
    github.io gitlab.io pages.dev workers.dev vercel.app netlify.app herokuapp.com cloudfront.net amazonaws.com
    azurewebsites.net blob.core.windows.net web.app firebaseapp.com appspot.com run.app fly.dev onrender.com ngrok.io
    ngrok-free.app trycloudflare.com r2.dev
"""
COMMON_SUFFIXES = frozenset(_SUFFIXES.split())


def is_broad(entry: Entry) -> bool:
    """Whether a wildcard opens names that anybody can register: everything below a public suffix.

    The standard library has no public suffix list; this knows single labels and the suffixes most often met. It guards
    against a slip of the operator's, not against the operator.
    """
    return entry.below and ("." not in entry.name or entry.name in COMMON_SUFFIXES)

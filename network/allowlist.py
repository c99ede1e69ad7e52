"""The allowlist: the names that the agent may reach, their ports, and how each port is checked.

One entry per line; `#` starts a comment. An entry is a name (exactly that name) or `*.name` (names below it, not the name
itself), optionally followed by `:` and ports; or a package registry (`@npm`), which stands for the hosts in that tool's global
configuration:

    api.example.com
    *.example.org:443,8443/tls
    registry.example.com read
    @npm

The gate checks port 443 as TLS and port 80 as HTTP, both by name. Any other port is opened by address, unless `/tls` or `/http`
follows it. An entry without ports opens 443 and 80. Words after the entry limit the requests (network/grant.py). An entry
without them grants any request, except that a package registry grants what its tool needs (REGISTRY_GRANTS).

Length: the grammar and the values that it yields are easier to read together.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from network import foreign_syntax, grant
from network.common_suffixes import COMMON_SUFFIXES
from network.names import ADDRESS, AN_ADDRESS, USE_A_NAME, EntryError, normalise

# Auditing sends names and versions of packages, which installing them tells the registry as well; it stores nothing there. Some
# registries serve npm's API below a path of their own.
_AUDIT = ("POST:/-/npm/v1/security/**", "POST:/**/-/npm/v1/security/**")
REGISTRY_GRANTS: Mapping[str, tuple[str, ...]] = {
    "npm": (grant.READ, *_AUDIT),
    "pip": (grant.READ,),
    "go": (grant.READ,),
    "apt": (grant.READ,),
    "bun": (grant.READ, *_AUDIT),
}
REGISTRY_TOOLS = tuple(REGISTRY_GRANTS)
MAX_PORTS = 16  # of one entry


class Check(StrEnum):
    """The way in which a connection to a port is tied to the name."""

    TLS = "tls"
    HTTP = "http"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """A port of an entry, and the requests that it grants (network/grant.py; the empty tuple: any).

    `source` is the place that opens the port if it is not that of its entry: merged entries have several.
    """

    number: int
    check: Check
    source: str = field(default="", compare=False, repr=False)
    grant: tuple[str, ...] = grant.ANYTHING

    def __str__(self) -> str:
        default = DEFAULT_CHECKS.get(self.number, Check.ADDRESS)
        return str(self.number) if self.check is default else f"{self.number}/{self.check}"


DEFAULT_CHECKS = {443: Check.TLS, 80: Check.HTTP}
DEFAULT_PORTS = (Port(443, Check.TLS), Port(80, Check.HTTP))


@dataclass(frozen=True, slots=True)
class Entry:
    """A name that the agent may reach. `below` is True for `*.name`; `source` is its file and line ("domains.conf:12")."""

    name: str
    below: bool = False
    ports: tuple[Port, ...] = DEFAULT_PORTS
    source: str = ""

    @property
    def numbers(self) -> frozenset[int]:
        return frozenset(port.number for port in self.ports)

    @property
    def grants(self) -> tuple[tuple[str, ...], ...]:
        """The different grants of its ports."""
        return tuple(dict.fromkeys(port.grant for port in self.ports))

    def granting(self, words: tuple[str, ...]) -> Entry:
        """Returns the entry with this grant on every port. Raises EntryError if a port cannot be limited to it."""
        by_address = [port for port in self.ports if port.check is Check.ADDRESS]
        if words and by_address:
            number = by_address[0].number
            reason = f"port {number} is opened by address, so requests on it cannot be limited"
            raise EntryError(0, str(self), reason, f"Write {number}/tls or {number}/http, or leave out {grant.text(words)}.")
        return replace(self, ports=tuple(replace(port, grant=words) for port in self.ports))

    def adding(self, ports: Iterable[Port]) -> Entry:
        """Returns the entry with more ports. A port that it already has keeps its check, and grants what both grant."""
        others = {port.number: port for port in ports}
        mine = (replace(p, grant=grant.union(p.grant, others.get(p.number, p).grant)) for p in self.ports)
        return replace(self, ports=(*mine, *(port for port in others.values() if port.number not in self.numbers)))

    def by_source(self) -> list[Entry]:
        """One entry for each place that opens some of the ports, and for each grant, with these ports and that place."""
        ports: dict[tuple[str, tuple[str, ...]], list[Port]] = {}
        for port in self.ports:
            ports.setdefault((port.source or self.source, port.grant), []).append(port)
        return [replace(self, ports=tuple(same), source=source) for (source, _), same in ports.items()]

    def covers(self, other: Entry) -> bool:
        """True if this entry opens every name that the other one opens."""
        if not self.below:
            return self.pattern == other.pattern
        return other.name.endswith(f".{self.name}") or (other.below and other.name == self.name)

    @property
    def pattern(self) -> str:
        """The name as written on the allowlist."""
        return f"*.{self.name}" if self.below else self.name

    def __str__(self) -> str:
        usual = [(port.number, port.check) for port in self.ports] == [(port.number, port.check) for port in DEFAULT_PORTS]
        written = [words for words in self.grants if words != grant.BY_CREDENTIAL]
        limits = "; ".join(map(grant.text, written)) if any(written) else ""
        return self.pattern + ("" if usual else ":" + ",".join(map(str, self.ports))) + (f" {limits}" if limits else "")


@dataclass(frozen=True, slots=True)
class Problem:
    """An error in a line: its place (`column` counts from 1), the reason, and what to write instead."""

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
    """All errors of an allowlist at once."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True, slots=True)
class Allowlist:
    """The entries, each pattern once."""

    entries: tuple[Entry, ...] = ()
    _index: Mapping[tuple[str, bool], Entry] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", {(entry.name, entry.below): entry for entry in self.entries})

    def match(self, name: str) -> Entry | None:
        """The entry that opens a name, or None. An exact entry wins over a wildcard, a longer wildcard over a shorter one.

        Ignores case and one trailing dot. An invalid name (empty labels, other characters, too long) matches nothing.
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
        """The narrowest wildcard above an entry, which would open its names if the entry did not exist."""
        return self._above(entry.name)

    def _above(self, name: str) -> Entry | None:
        labels = name.split(".")
        for start in range(1, len(labels)):
            entry = self._index.get((".".join(labels[start:]), True))
            if entry is not None:
                return entry
        return None

    def listed(self, pattern: str) -> Entry | None:
        """The entry with exactly this pattern, or None."""
        return self._index.get((pattern.removeprefix("*."), pattern.startswith("*.")))

    def merged(self, *others: Allowlist) -> Allowlist:
        """Joins several allowlists. Entries with the same pattern become one entry with the ports of both.

        A port that both open grants what both grant. It keeps the place that opened it first, unless a later place changes its
        check or its grant.
        """
        by_pattern: dict[str, Entry] = {}
        for entry in (e for source in (self, *others) for e in source.entries):
            previous = by_pattern.get(entry.pattern)
            if previous is not None:
                ports = {port.number: port for port in previous.ports}
                for port in entry.ports:
                    if port.number in ports:
                        port = replace(port, grant=grant.union(ports[port.number].grant, port.grant))
                    if ports.get(port.number) != port:
                        ports[port.number] = replace(port, source=port.source or entry.source)
                entry = replace(previous, ports=tuple(ports.values()))
            by_pattern[entry.pattern] = entry
        return Allowlist(tuple(by_pattern.values()))

    def governed(self, names: Collection[str], words: tuple[str, ...]) -> Allowlist:
        """Returns the allowlist with this grant for exactly these names: other rules decide at hosts with a credential."""
        each = (
            replace(entry, ports=tuple(replace(port, grant=words) for port in entry.ports)) if entry.pattern in names else entry
            for entry in self.entries
        )
        return Allowlist(tuple(each))

    def amended(self, entries: Iterable[Entry], removed: Iterable[str]) -> Allowlist:
        """Returns the allowlist with these entries in place of those with the same patterns, and without the `removed` ones."""
        index = dict(self._index)
        for pattern in removed:
            index.pop((pattern.removeprefix("*."), pattern.startswith("*.")), None)
        index |= {(entry.name, entry.below): entry for entry in entries}
        return Allowlist(tuple(index.values()))

    def without(self, pattern: str) -> Allowlist:
        return Allowlist(tuple(entry for entry in self.entries if entry.pattern != pattern))


@dataclass(frozen=True, slots=True)
class Parsed:
    allowlist: Allowlist
    warnings: tuple[Problem, ...] = ()


def parse_entry(text: str, source: str = "") -> Entry:
    """Parses one entry without its comment and without a grant. Raises EntryError."""
    if "://" in text:
        host = re.sub(r"[/?#].*", "", text.partition("://")[2]).rpartition("@")[2].partition(":")[0] or "example.com"
        raise EntryError(0, text, "expected a host, not a URL", f"Write only the host: {host}.")
    if re.match(r"[0-9a-fA-F.:]+/\d+\Z", text):
        raise EntryError(0, text, "expected a host name, not an address range", USE_A_NAME)
    if text.count(":") > 1 and ADDRESS.match(text):
        raise EntryError(0, text, AN_ADDRESS, USE_A_NAME)
    if mistake := foreign_syntax.mistake(text):
        raise EntryError(0, text, *mistake)
    host, colon, ports_text = text.partition(":")
    if "/" in host:
        raise EntryError(host.index("/"), text, "expected a host without a path", "Write only the host.")
    below = host.startswith("*.")
    bare = host[2:] if below else host
    if "*" in bare:
        raise EntryError(host.rindex("*"), text, "* may only be the first label", "Write it as in *.example.com.")
    try:
        name = normalise(bare)
    except EntryError as error:
        raise EntryError(error.offset + (2 if below else 0), text, error.reason, error.remedy) from error
    if below and len(name) > 251:
        raise EntryError(0, text[:60], "the name is too long for a wildcard")
    ports = parse_ports(ports_text, len(host) + 1) if colon else DEFAULT_PORTS
    return Entry(name, below, ports, source)


def parse_ports(text: str, offset: int = 0) -> tuple[Port, ...]:
    """Parses the ports of an entry: `443,8443/tls`. `offset` is the position of the text in its entry. Raises EntryError."""
    ports: dict[int, Port] = {}
    for part in text.split(","):
        number_text, slash, check_text = part.partition("/")
        if not re.match(r"[0-9]{1,5}\Z", number_text) or not 1 <= int(number_text) <= 65535:
            reason = "a port must be a number from 1 to 65535"
            raise EntryError(offset, part, reason, "Write it as in example.com:443,8443/tls.")
        number = int(number_text)
        if slash and check_text not in (Check.TLS, Check.HTTP):
            raise EntryError(offset + len(number_text) + 1, part, "expected /tls, /http or nothing after the port")
        check = Check(check_text) if slash else DEFAULT_CHECKS.get(number, Check.ADDRESS)
        ports[number] = Port(number, check)
        offset += len(part) + 1
    if len(ports) > MAX_PORTS:
        raise EntryError(0, text, f"an entry can have at most {MAX_PORTS} ports")
    return tuple(ports.values())


def referenced_registries(text: str) -> tuple[str, ...]:
    """The tools behind the `@` entries of an allowlist, each once. `parse` needs their hosts."""
    words = (line.split("#")[0].split() for line in text.splitlines())
    return tuple(dict.fromkeys(w[0][1:] for w in words if w and w[0].startswith("@") and w[0][1:] in REGISTRY_TOOLS))


def parse(text: str, file: str, registries: Mapping[str, tuple[str, ...]] | None = None) -> Parsed:
    """Parses a whole allowlist. `registries` holds the entries for each tool that an `@` entry names.

    Raises AllowlistError with all errors of the text. A package registry whose tool is not installed and a duplicate entry
    are warnings.
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
            parsed = _registry(word, source, registries or {}) if word.startswith("@") else (_one_word(word, source),)
        except EntryError as error:
            problems.append(Problem(file, number, column + error.offset, word[:80], error.reason, error.remedy))
            continue
        if not parsed:
            reason = "the tool reports no host"
            warnings.append(Problem(file, number, column, word, reason, "Check that the tool is installed."))
        for entry in parsed:
            previous = entries.get(entry.pattern)
            if previous is None:
                entries[entry.pattern] = entry
                continue
            merged = Allowlist((previous,)).merged(Allowlist((entry,))).entries[0]
            if not word.startswith("@"):
                reason = f"duplicate of {previous.source}"
                if set(merged.grants) - set(previous.grants):
                    reason += f"; together they grant {' and '.join(map(grant.text, merged.grants))}"
                warnings.append(Problem(file, number, column, word, reason))
            entries[entry.pattern] = merged
    if problems:
        raise AllowlistError(problems)
    return Parsed(Allowlist(tuple(entries.values())), tuple(warnings))


def _one_word(word: str, source: str) -> Entry:
    """Parses an entry and its grant. Raises EntryError."""
    first, *others = re.finditer(r"[^ \t]+", word)
    if not others:
        return parse_entry(word, source)
    if all(grant.is_word(other[0]) for other in others):
        entry = parse_entry(first[0], source)
        return _granting(entry, others)
    if mistake := foreign_syntax.mistake(word):
        raise EntryError(0, word, *mistake)
    raise EntryError(first.end(), word, "expected one entry per line", "Put the second entry on a line of its own.")


def _granting(entry: Entry, words: Iterable[re.Match[str]]) -> Entry:
    return entry.granting(grant.parse([(word.start(), word[0]) for word in words]))


def _registry(word: str, source: str, registries: Mapping[str, tuple[str, ...]]) -> tuple[Entry, ...]:
    first, *others = re.finditer(r"[^ \t]+", word)
    tool = first[0][1:]
    if tool not in REGISTRY_TOOLS:
        choices = " ".join(f"@{name}" for name in REGISTRY_TOOLS)
        raise EntryError(0, first[0], "unknown package registry", f"Use one of {choices}.")
    grants = grant.parse([(other.start(), other[0]) for other in others]) if others else REGISTRY_GRANTS[tool]
    return tuple(parse_entry(host, f"{first[0]} ({source})").granting(grants) for host in registries.get(tool, ()))


def parse_words(text: str, source: str) -> Parsed:
    """Parses the entries of one variable, separated by commas or white space. Raises AllowlistError.

    A comma that is followed by a digit separates ports (`a.example:443,8443`). The words of a grant follow their entry.
    """
    entries: list[str] = []
    for word in re.split(r"\s+|,(?!\d+(?:/\w+)?(?:[,\s]|$))", text):
        if entries and grant.is_word(word):
            entries[-1] += f" {word}"
        else:
            entries.append(word)
    return parse("\n".join(entries), source)


def is_broad(entry: Entry) -> bool:
    """True for a wildcard directly below a public suffix, where anyone can register names.

    It catches a slip by the operator; it does not restrict the operator.
    """
    return entry.below and ("." not in entry.name or entry.name in COMMON_SUFFIXES)

"""Addresses of notification services (CODETAINER_NOTIFY): read strictly, and rewritten for the library that sends. Pure.

An option is passed on only if its kind of service lists it (destinations.KINDS): others could name a second host or a file, or
turn off the check of certificates.

Errors never contain an address, because most of it is secret. They give its number and its kind.
Formats: https://appriseit.com/services/
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from network.destinations import KINDS, Destination, KindOfService, Library, Tls, is_permitted
from network.names import EntryError, normalise
from network.problems import Problems

MAX_DESTINATIONS = 8
MIN_SECRET = 8  # characters; a shorter part of an address protects nothing, and would match ordinary text
NTFY_HOST, SLACK_HOST, SLACK_HOOKS, DISCORD_HOST = "ntfy.sh", "slack.com", "hooks.slack.com", "discord.com"
_MAIL_MODES = {"starttls": Tls.STARTTLS, "ssl": Tls.IMPLICIT}
_MAIL_PORTS = {Tls.NONE: 25, Tls.STARTTLS: 587, Tls.IMPLICIT: 465}
_FORM = re.compile(r"([a-z]{1,20})://[!-~]+\Z")
_HEADER = re.compile(r"[+-][A-Za-z0-9_-]{1,60}\Z")
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,253}\Z")
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")  # of ntfy


class _Invalid(ValueError):
    """An invalid address, with the reason, which contains no part of it, and what to write instead."""


def parse(text: str, variable: str = "CODETAINER_NOTIFY") -> tuple[Destination, ...]:
    """The destinations in the operator's text. Raises Problems with every error."""
    words = tuple(dict.fromkeys(text.split()))
    destinations: list[Destination] = []
    problems: list[str] = []
    if len(words) > MAX_DESTINATIONS:
        problems.append(f"{variable}: {len(words)} addresses; expected at most {MAX_DESTINATIONS}")
    for number, word in enumerate(words[:MAX_DESTINATIONS], 1):
        try:
            destinations.append(_parse(word))
        except _Invalid as error:
            known = word.partition("://")[0]
            kind = f" ({known}://...)" if known in KINDS else ""
            problems.append(f"{variable}: address {number}{kind}: {error}")
    if problems:
        raise Problems(problems)
    return tuple(destinations)


@dataclass(frozen=True, slots=True)
class _Parts:
    """An address in parts, none of which is quoted."""

    kind: str
    user: str
    password: str
    host: str
    port: int  # 0: the default
    path: tuple[str, ...]
    options: Mapping[str, str]

    @property
    def login(self) -> str:
        if not self.user:
            return ""
        return f"{quote(self.user, safe='')}{':' + quote(self.password, safe='') if self.password else ''}@"


def _parse(word: str) -> Destination:
    word = _from_browser(word)
    match = _FORM.match(word)
    if match is None:
        raise _Invalid("not an address; expected KIND://..., printable and without spaces")
    kind = KINDS.get(match[1])
    if kind is None:
        raise _Invalid(f"unknown kind; expected one of {', '.join(KINDS)}")
    parts = _split(word, match[1])
    allowed = [name for name in parts.options if name in kind.options or (kind.headers and _HEADER.match(name))]
    if len(allowed) != len(parts.options):
        listed = ", ".join(sorted(kind.options)) + ("+HEADER=... and -PARAMETER=..." if kind.headers else "")
        raise _Invalid(
            f"an option that is not supported; expected {listed or 'none'}. Certificates are always verified, and redirects "
            "never followed"
        )
    builders = {
        Library.NTFY: _ntfy, Library.SLACK: _slack, Library.DISCORD: _discord, Library.MATRIX: _matrix, Library.MAIL: _mail,
        Library.JSON: _web, Library.XML: _web,
    }  # fmt: skip
    host, port, tls, url = builders[kind.library](parts, kind)
    return Destination(parts.kind, kind.library, host, port, tls, url, tuple(dict.fromkeys(_secrets(word, parts))))


def _from_browser(word: str) -> str:
    """Slack and Discord show the addresses of their webhooks with https://."""
    for before, after in (
        (f"https://{SLACK_HOOKS}/services/", "slack://"),
        (f"https://{DISCORD_HOST}/api/webhooks/", "discord://"),
        ("https://discordapp.com/api/webhooks/", "discord://"),
    ):
        if word.startswith(before):
            return after + word.removeprefix(before)
    return word


def _split(word: str, kind: str) -> _Parts:
    try:
        split = urlsplit(word)
        port = split.port
        options = parse_qsl(split.query.replace("+", "%2B"), keep_blank_values=True, strict_parsing=bool(split.query))
    except ValueError:
        raise _Invalid("cannot be read; expected KIND://[USER[:PASSWORD]@]HOST[:PORT]/...[?OPTION=VALUE]") from None
    if split.fragment or port == 0 or len({name for name, _ in options}) != len(options):
        raise _Invalid("expected no #, a port from 1 to 65535, and each option once; write a # as %23")
    # Not `hostname`, which is in lower case: in place of a host, some kinds have a topic or a token.
    host = split.netloc.rpartition("@")[2]
    host = host[: -len(f":{port}")] if port is not None else host
    path = tuple(unquote(part) for part in split.path.split("/") if part)
    text = (split.username or "", split.password or "", host, *path, *(value for _, value in options))
    if not all(unquote(part).isprintable() for part in text):
        raise _Invalid("a character that cannot be printed")
    return _Parts(
        kind, unquote(split.username or ""), unquote(split.password or ""), unquote(host), port or 0, path, dict(options)
    )


def _secrets(word: str, parts: _Parts) -> Iterator[str]:
    """The address, its password or token, and the parts of its path and options that look like one."""
    yield word
    if len(rest := word.partition("://")[2]) >= MIN_SECRET:
        yield rest
    credentials = [parts.password or parts.user, *(value for name, value in parts.options.items() if name[0] in "+-")]
    yield from (value for value in credentials if len(value) >= MIN_SECRET)
    yield from (value.rpartition(" ")[2] for value in credentials if len(value.rpartition(" ")[2]) >= MIN_SECRET)
    library = KINDS[parts.kind].library
    path = () if library is Library.MATRIX else parts.path
    for part in (*path, parts.host if library in (Library.SLACK, Library.DISCORD) else ""):
        if len(part) >= MIN_SECRET and (any(map(str.isdigit, part)) or len(part) >= 2 * MIN_SECRET):
            yield part


def _host(text: str) -> str:
    """A name or an address that the firewall may open. Raises _Invalid."""
    if text.startswith("["):
        raise _Invalid("an IPv6 address; the sandbox has IPv4 only")
    try:
        address = str(ipaddress.IPv4Address(text))
    except ValueError:
        try:
            return normalise(text)
        except EntryError:
            raise _Invalid("no host; expected a full name such as ntfy.example.com, or an IPv4 address") from None
    if not is_permitted(address):
        raise _Invalid("an address of this sandbox, of its link, or of no host; expected one of a notification service")
    return address


_Built = tuple[str, int, Tls, str]


def _web_url(parts: _Parts, kind: KindOfService, host: str, port: int, path: str, options: Mapping[str, str]) -> _Built:
    all_options = {**options, "redirect": "no", "verify": "yes", "overflow": "truncate"}
    query = "&".join(f"{quote(name, safe='+-')}={quote(value, safe='')}" for name, value in all_options.items())
    return host, port, kind.tls, f"{parts.kind}://{parts.login}{host}:{port}/{path}?{query}"


def _quoted(path: tuple[str, ...]) -> str:
    return "/".join(quote(part, safe="") for part in path)


def _default_port(kind: KindOfService) -> int:
    return 443 if kind.tls is Tls.IMPLICIT else 80


def _ntfy(parts: _Parts, kind: KindOfService) -> _Built:
    """ntfys://TOPIC (at ntfy.sh), or ntfys://[TOKEN@|USER:PASSWORD@]HOST[:PORT]/TOPIC."""
    host, path = parts.host, parts.path
    if not path and not parts.port:
        host, path, kind = NTFY_HOST, (host,), KINDS["ntfys"]
    if len(path) != 1 or not _TOPIC.match(path[0]):
        raise _Invalid("expected one topic: ntfys://TOPIC for ntfy.sh, or ntfys://[TOKEN@]HOST[:PORT]/TOPIC")
    auth = {"auth": "token"} if parts.user and not parts.password else {"auth": "basic"} if parts.user else {}
    built = _web_url(
        parts, kind, _host(host), parts.port or _default_port(kind), path[0], {"mode": "private", "image": "no", **auth}
    )
    scheme = "ntfys" if kind.tls is Tls.IMPLICIT else "ntfy"
    return *built[:3], f"{scheme}://{built[3].partition('://')[2]}"


def _slack(parts: _Parts, kind: KindOfService) -> _Built:
    """slack://TOKEN_A/TOKEN_B/TOKEN_C[/CHANNEL] (a webhook), or slack://xoxb-.../CHANNEL (a bot)."""
    is_bot = parts.host.startswith("xo")
    if parts.user or parts.port or len(parts.path) < (1 if is_bot else 2):
        raise _Invalid("expected slack://A/B/C, the end of the webhook's address, or slack://xoxb-.../CHANNEL")
    query = "image=no&footer=no&timestamp=no&redirect=no&verify=yes&overflow=truncate"
    url = f"slack://{quote(parts.host, safe='-')}/{_quoted(parts.path)}/?{query}"
    return SLACK_HOST if is_bot else SLACK_HOOKS, 443, kind.tls, url


def _discord(parts: _Parts, kind: KindOfService) -> _Built:
    """discord://ID/TOKEN."""
    if parts.user or parts.port or len(parts.path) != 1 or not parts.host.isdigit():
        raise _Invalid("expected discord://ID/TOKEN, the end of the webhook's address")
    options = {**parts.options, "avatar": "no", "image": "no", "redirect": "no", "verify": "yes", "overflow": "truncate"}
    return DISCORD_HOST, 443, kind.tls, f"discord://{parts.host}/{_quoted(parts.path)}/?{urlencode(options)}"


def _matrix(parts: _Parts, kind: KindOfService) -> _Built:
    """matrixs://TOKEN@HOST[:PORT]/ROOM or matrixs://USER:PASSWORD@HOST/ROOM. Rooms with a # are written %23ROOM."""
    if not parts.user or not parts.path:
        raise _Invalid("expected matrixs://TOKEN@HOST/ROOM or matrixs://USER:PASSWORD@HOST/ROOM")
    options = {"mode": "off", "image": "no", "discovery": "no", "e2ee": "no"}
    return _web_url(parts, kind, _host(parts.host), parts.port or _default_port(kind), _quoted(parts.path), options)


def _mail(parts: _Parts, kind: KindOfService) -> _Built:
    """mailtos://USER:PASSWORD@HOST[:PORT]?from=A@B&to=C@D[&smtp=SERVER][&mode=ssl]. `smtp` names a server other than HOST."""
    tls = kind.tls
    if (mode := parts.options.get("mode")) is not None:
        if mode not in _MAIL_MODES or tls is Tls.NONE:
            raise _Invalid("an unknown mode; expected mode=starttls or mode=ssl, with mailtos://")
        tls = _MAIL_MODES[mode]
    elif parts.port == _MAIL_PORTS[Tls.IMPLICIT] and tls is Tls.STARTTLS:
        tls = Tls.IMPLICIT
    if tls is Tls.NONE and parts.password:
        raise _Invalid("mailto:// would send the password without encryption; write mailtos://")
    host, port = _host(parts.options.get("smtp", parts.host)), parts.port or _MAIL_PORTS[tls]
    sender = parts.options.get("from", parts.user if "@" in parts.user else f"{parts.user or 'codetainer'}@{parts.host}")
    to = tuple(parts.options.get("to", sender).split(","))
    if parts.path or not all(map(_EMAIL.match, (sender, *to))):
        raise _Invalid("expected plain email addresses: mailtos://USER:PASSWORD@HOST?from=A@B&to=C@D")
    mode = {Tls.NONE: "insecure", Tls.STARTTLS: "starttls", Tls.IMPLICIT: "ssl"}[tls]
    # With `smtp`, the library does not replace the server by one that it knows for the domain.
    options = {"smtp": host, "mode": mode, "from": sender, "to": ",".join(to), "format": "text", "verify": "yes", "pgp": "none"}
    scheme = "mailto" if tls is Tls.NONE else "mailtos"
    return host, port, tls, f"{scheme}://{parts.login}{host}:{port}/?{urlencode(options, quote_via=quote)}"


def _web(parts: _Parts, kind: KindOfService) -> _Built:
    """jsons://[USER:PASSWORD@]HOST[:PORT]/PATH[?+HEADER=VALUE&-PARAMETER=VALUE]: a POST request with the message."""
    return _web_url(parts, kind, _host(parts.host), parts.port or _default_port(kind), _quoted(parts.path), dict(parts.options))

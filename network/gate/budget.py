"""The budget for calls of the model: limits, the tokens that were used, and an estimate of their cost.

`prices.toml` beside this file has the prices. Tokens come from the usage that the API reports in its answers, which the reader
reads as they pass (network/gate/reader/answers.go).
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date
from enum import StrEnum
from pathlib import Path

PRICES = Path(__file__).with_name("prices.toml")  # for the caller of `prices`: nothing here opens a file
HOUR = 3600.0
WARN_AT = 0.8
MILLION = 1_000_000
_LIMIT = re.compile(r"(calls|tokens|input|output|cached|cost)=([0-9]{1,12}(?:\.[0-9]{1,6})?)([kKmM]?)(/h)?\Z")
_MORE = re.compile(r"\+(?:(calls|tokens|input|output|cached|cost)=)?([0-9]{1,12}(?:\.[0-9]{1,6})?)([kKmM]?)\Z")


class Kind(StrEnum):
    CALLS = "calls"
    TOKENS = "tokens"  # of all kinds
    INPUT = "input"  # not from the cache
    OUTPUT = "output"
    CACHED = "cached"  # read from the cache and written to it
    COST = "cost"  # US dollars


@dataclass(frozen=True, slots=True)
class Used:
    """What calls have used. Tokens are those that the API reported, `cost` is in US dollars."""

    calls: int = 0
    input: int = 0
    output: int = 0
    cached: int = 0
    cost: float = 0.0

    def __add__(self, other: Used) -> Used:
        return Used(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Used)))

    @property
    def tokens(self) -> int:
        return self.input + self.output + self.cached

    def of(self, kind: Kind) -> float:
        return float(getattr(self, kind))


@dataclass(frozen=True, slots=True)
class Limit:
    """The highest amount of a kind, for the life of the sandbox or for any hour (`hourly`)."""

    kind: Kind
    amount: float
    hourly: bool = False

    def words(self, used: Used) -> str:
        """`$4.10 of $20`, `120 of 500 calls in the last hour`."""
        within = " in the last hour" if self.hourly else ""
        return f"{shown(self.kind, used.of(self.kind), bare=True)} of {shown(self.kind, self.amount)}{within}"


def shown(kind: Kind, amount: float, *, bare: bool = False) -> str:
    """An amount for people: `$4.10`, `1.2M output tokens`. `bare`: without the unit."""
    if kind is Kind.COST:
        return f"${amount:.2f}"
    text = f"{amount / MILLION:.1f}M" if amount >= MILLION else f"{amount / 1000:.1f}k" if amount >= 10_000 else f"{amount:.0f}"
    text = text.replace(".0M", "M").replace(".0k", "k")
    unit = {Kind.CALLS: "calls", Kind.TOKENS: "tokens", Kind.CACHED: "cached tokens"}.get(kind, f"{kind} tokens")
    return text if bare else f"{text} {unit}"


def limits(text: str) -> tuple[Limit, ...]:
    """Parses `CODETAINER_BUDGET`, such as `calls=500/h tokens=2M/h cost=20`. Raises ValueError."""
    found: dict[tuple[Kind, bool], Limit] = {}
    for word in (word for word in re.split(r"[,\s]+", text) if word):
        match = _LIMIT.match(word)
        if not match:
            raise ValueError(f"{word!a} is not a limit")
        kind, hourly = Kind(match[1]), bool(match[4])
        if (kind, hourly) in found:
            raise ValueError(f"{word!a} is the second limit of its kind")
        found[kind, hourly] = Limit(kind, _amount(match[2], match[3]), hourly)
    return tuple(found.values())


def more(text: str) -> Mapping[Kind, float]:
    """Parses what to add to a budget: `+20` (US dollars), `+calls=100`, or both (`+20,+calls=100`). Raises ValueError."""
    amounts: dict[Kind, float] = {}
    for word in text.split(","):
        match = _MORE.match(word)
        if not match:
            raise ValueError(f"{word!a} is not an amount")
        kind = Kind(match[1] or Kind.COST)
        if kind in amounts:
            raise ValueError(f"{word!a} is the second amount of its kind")
        amounts[kind] = _amount(match[2], match[3])
    return amounts


def typed(amounts: Mapping[Kind, float]) -> str:
    """Amounts in the form that `more` parses."""
    return ",".join(
        f"+{'' if kind is Kind.COST else f'{kind}='}{f'{amount:.6f}'.rstrip('0').rstrip('.')}"
        for kind, amount in amounts.items()
    )


def _amount(number: str, suffix: str) -> float:
    amount = float(number) * {"": 1, "k": 1000, "m": MILLION}[suffix.lower()]
    if amount <= 0:
        raise ValueError("expected more than 0")
    return amount


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices by the beginning of a model's id, in dollars for a million tokens: input, output, read from the cache, written."""

    date: date
    source: str
    search: float
    models: Mapping[str, tuple[float, float, float, float]]

    def known(self, model: str) -> bool:
        return any(model.startswith(name) for name in self.models)

    def cost(self, model: str, tokens: tuple[int, int, int, int], searches: int = 0) -> float:
        """The cost of a call in US dollars. An unknown model costs as much as the most expensive."""
        name = max((name for name in self.models if model.startswith(name)), key=len, default="")
        price = self.models[name] if name else tuple(map(max, zip(*self.models.values(), strict=True)))
        each = (count * dollars for count, dollars in zip(tokens, price, strict=True))
        return float(sum(each)) / MILLION + searches * self.search


def prices(text: str) -> Prices:
    """Parses prices.toml. Raises ValueError."""
    body = tomllib.loads(text)
    models = {str(name): tuple(map(float, price)) for name, price in body["models"].items()}
    if not models or any(len(price) != 4 for price in models.values()):
        raise ValueError("a model needs four prices")
    return Prices(body["date"], str(body["source"]), float(body["search"]), models)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Account:
    """Everything that was used: in total, and by minute for the last hour. `added`: what the operator has added, and when.

    `estimated` counts calls whose usage was not reported in full. `unknown` are models without a price.
    """

    limits: tuple[Limit, ...] = ()
    total: Used = Used()
    minutes: tuple[tuple[int, Used], ...] = ()
    added: tuple[tuple[float, Kind, float], ...] = ()
    estimated: int = 0
    unknown: tuple[str, ...] = ()

    def adding(self, used: Used, now: float) -> Account:
        minute = int(now // 60)
        recent = [(at, one) for at, one in self.minutes if at > minute - HOUR / 60]
        if recent and recent[-1][0] == minute:
            recent[-1] = (minute, recent[-1][1] + used)
        else:
            recent.append((minute, used))
        return replace(self, total=self.total + used, minutes=tuple(recent))

    def raised(self, amounts: Mapping[Kind, float], now: float) -> Account:
        """A copy with amounts added: for good to limits of the total, for an hour to limits per hour."""
        return replace(self, added=(*self.added, *((now, kind, amount) for kind, amount in amounts.items())))

    def sufficient(self, now: float) -> Mapping[Kind, float]:
        """What to add so that less than WARN_AT of every limit is used, or to the fullest limit if that is so already.

        Each amount is a multiple of the limit that the operator has set. Empty without limits.
        """
        each = [
            (own.amount, limit, used.of(limit.kind)) for own, (limit, used) in zip(self.limits, self.in_force(now), strict=True)
        ]
        low = [one for one in each if one[2] >= WARN_AT * one[1].amount]
        low = low or sorted(each, key=lambda one: one[2] / one[1].amount)[-1:]
        amounts: dict[Kind, float] = {}
        for own, limit, used in low:
            times = max(0, math.floor((used / WARN_AT - limit.amount) / own)) + 1
            amounts[limit.kind] = max(amounts.get(limit.kind, 0.0), own * times)
        return amounts

    def last_hour(self, now: float) -> Used:
        minute = int(now // 60)
        return sum((used for at, used in self.minutes if at > minute - HOUR / 60), Used())

    def in_force(self, now: float) -> tuple[tuple[Limit, Used], ...]:
        """The limits with what the operator has added, each with what counts for it."""
        result = []
        for limit in self.limits:
            extra = sum(
                amount for at, kind, amount in self.added if kind is limit.kind and (not limit.hourly or at > now - HOUR)
            )
            result.append((replace(limit, amount=limit.amount + extra), self.last_hour(now) if limit.hourly else self.total))
        return tuple(result)

    def fullest(self, now: float) -> tuple[Limit, Used] | None:
        """The limit of which the largest share is used."""
        return max(self.in_force(now), key=lambda pair: pair[1].of(pair[0].kind) / pair[0].amount, default=None)

    def share(self, now: float) -> float:
        """The largest share of a limit that is used; 0 without limits."""
        pair = self.fullest(now)
        return pair[1].of(pair[0].kind) / pair[0].amount if pair else 0.0

    def calls_left(self, now: float) -> int | None:
        """How many calls may begin; None without a limit of calls."""
        left = [limit.amount - used.calls for limit, used in self.in_force(now) if limit.kind is Kind.CALLS]
        return max(0, int(min(left))) if left else None

    def refusal(self, now: float) -> str:
        """The sentence for a client whose call may not begin, "" if it may."""
        pair = self.fullest(now)
        if pair is None or self.share(now) < 1:
            return ""
        limit, used = pair
        option = "+20" if limit.kind is Kind.COST else f"+{limit.kind}=N"
        wait = ", or wait until the last hour has less" if limit.hourly else ""
        return (
            f"the operator's budget for the model is used up ({limit.words(used)}). Stop here; only the operator can continue "
            f"it, with: codetainer budget {option}{wait}"
        )


def as_json(account: Account) -> dict[str, object]:
    """The account without its limits, as JSON values; `restored` is the inverse."""
    return {
        "total": _list(account.total), "minutes": [[at, _list(used)] for at, used in account.minutes],
        "added": [[at, str(kind), amount] for at, kind, amount in account.added],
        "estimated": account.estimated, "unknown": list(account.unknown),
    }  # fmt: skip


def restored(body: Mapping[str, object], limits: Iterable[Limit]) -> Account:
    """Raises ValueError, TypeError or KeyError."""
    minutes, added, unknown = body["minutes"], body["added"], body["unknown"]
    if not isinstance(minutes, list) or not isinstance(added, list) or not isinstance(unknown, list):
        raise ValueError("not an account")
    return Account(
        tuple(limits), _used(body["total"]), tuple((int(at), _used(used)) for at, used in minutes),
        tuple((float(at), Kind(kind), float(amount)) for at, kind, amount in added),
        int(str(body["estimated"])), tuple(map(str, unknown)),
    )  # fmt: skip


def _list(used: Used) -> list[float]:
    return [getattr(used, each.name) for each in fields(Used)]


def _used(values: object) -> Used:
    if not isinstance(values, list) or len(values) != len(fields(Used)):
        raise ValueError("not an account")
    calls, fresh, output, cached = map(int, values[:4])
    return Used(calls, fresh, output, cached, float(values[4]))

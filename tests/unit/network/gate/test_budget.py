"""The budget: limits, prices, shares, and what is kept over a restart."""

from __future__ import annotations

import json

import pytest

from network.gate import budget
from network.gate.budget import Account, Kind, Limit, Used

PRICES = budget.prices(budget.PRICES.read_text())


def test_limits_are_read() -> None:
    assert budget.limits("calls=500/h tokens=2M/h, cost=20 cost=5.5/h output=10k") == (
        Limit(Kind.CALLS, 500, hourly=True), Limit(Kind.TOKENS, 2_000_000, hourly=True), Limit(Kind.COST, 20),
        Limit(Kind.COST, 5.5, hourly=True), Limit(Kind.OUTPUT, 10_000),
    )  # fmt: skip
    assert budget.limits("") == ()


@pytest.mark.parametrize(
    "text", ["20", "cost", "cost=", "cost=-1", "cost=0", "calls=5/d", "cost=1 cost=2", "money=3", "cost=1e9"]
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"limit|more than 0"):
        budget.limits(text)


def test_what_the_operator_adds_is_read() -> None:
    assert budget.more("+20") == {Kind.COST: 20}
    assert budget.more("+tokens=1.5M") == {Kind.TOKENS: 1_500_000}
    assert budget.more("+20,+calls=100") == {Kind.COST: 20, Kind.CALLS: 100}
    for text in ("20", "-3", "+", "+0", "+x=1", "+20,", "+20,100", "+20,+cost=5"):
        with pytest.raises(ValueError, match=r"amount|more than 0"):
            budget.more(text)


def test_what_is_offered_suffices_for_every_limit_that_is_nearly_used_up() -> None:
    def offer(limits: str, used: Used) -> str:
        account = Account(budget.limits(limits)).adding(used, 0.0)
        amounts = account.sufficient(0.0)
        assert budget.more(budget.typed(amounts)) == amounts if amounts else not account.limits
        assert not amounts or account.share(0.0) < budget.WARN_AT or account.raised(amounts, 0.0).share(0.0) < budget.WARN_AT
        return budget.typed(amounts)

    assert offer("cost=20", Used(cost=20.1)) == "+20"
    assert offer("cost=20", Used(cost=16)) == "+20"
    assert offer("cost=20", Used(cost=45)) == "+40"  # one more would leave it nearly used up
    assert offer("cost=0.5", Used(cost=0.5)) == "+0.5"
    assert offer("cost=20 calls=5 tokens=1M", Used(calls=5, cost=19)) == "+20,+calls=5"
    assert offer("calls=5/h calls=100", Used(calls=5)) == "+calls=5"
    assert offer("calls=5/h calls=6", Used(calls=6)) == "+calls=6"  # suffices for both
    assert offer("cost=20 calls=100", Used(calls=30, cost=1)) == "+calls=100"  # none is low: the fullest
    assert offer("", Used(calls=5)) == ""


def test_costs_follow_the_longest_name_and_an_unknown_model_is_the_most_expensive() -> None:
    million = budget.MILLION
    assert PRICES.cost("claude-opus-4-20250514", (million, 0, 0, 0)) == 15
    assert PRICES.cost("claude-opus-4-8", (million, million, million, million)) == 5 + 25 + 0.5 + 10
    assert PRICES.cost("claude-sonnet-5", (0, 0, 0, 0), searches=3) == pytest.approx(0.03)
    dearest = tuple(max(price) for price in zip(*PRICES.models.values(), strict=True))
    assert PRICES.cost("gpt-unknown", (million, million, million, million)) == sum(dearest)
    assert PRICES.known("claude-opus-5-5")
    assert not PRICES.known("gpt-unknown")


def test_an_hour_is_the_last_sixty_minutes() -> None:
    account = Account(budget.limits("calls=2/h calls=10")).adding(Used(calls=2), 1000.0)
    assert account.calls_left(1000.0) == 0
    assert "2 of 2 calls in the last hour" in account.refusal(1000.0)
    later = 1000.0 + budget.HOUR + 60
    assert account.calls_left(later) == 2
    assert account.refusal(later) == ""
    assert account.adding(Used(calls=1), later).total.calls == 3
    assert len(account.adding(Used(calls=1), later).minutes) == 1


def test_the_fullest_limit_decides() -> None:
    account = Account(budget.limits("cost=10 tokens=1000")).adding(Used(1, 100, 50, 700, 9.0), 0.0)
    assert account.share(0.0) == pytest.approx(0.9)
    full = account.adding(Used(0, 0, 0, 0, 1.5), 0.0)
    assert "$10.50 of $10.00" in full.refusal(0.0)
    assert "codetainer budget +20" in full.refusal(0.0)
    assert full.raised({Kind.COST: 20}, 0.0).refusal(0.0) == ""
    assert full.raised({Kind.CALLS: 20}, 0.0).refusal(0.0) != ""


def test_an_addition_lasts_an_hour_for_an_hourly_limit() -> None:
    account = Account(budget.limits("calls=1/h")).raised({Kind.CALLS: 5}, 0.0)
    assert account.calls_left(0.0) == 6
    assert account.calls_left(budget.HOUR + 1) == 1


def test_an_account_survives_as_json() -> None:
    account = Account(budget.limits("cost=10"), estimated=2, unknown=("m",)).adding(Used(1, 2, 3, 4, 0.5), 90.0)
    account = account.raised({Kind.COST: 3}, 5.0)
    assert budget.restored(json.loads(json.dumps(budget.as_json(account))), account.limits) == account
    with pytest.raises(ValueError, match="not an account"):
        budget.restored({**budget.as_json(account), "total": [1]}, ())

"""The budget for the model: counted from what passed at the gate, refused at its end, continued by the operator."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.contract.events import BudgetChanged, BudgetLevel, BudgetRaised, ModelUsed
from tests.netns import worlds
from tests.netns.sandbox import Begin, Running, eventually
from tests.netns.test_model_requests import post, request

pytestmark = worlds.BOTH

# The pretend API reports 1000 tokens of input and 20 of output for each call.
CALL = (1000, 20)


@pytest.fixture(scope="module")
def limited(begin: Begin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = begin(tmp_path_factory.mktemp("budget"), f"budget-{os.getpid()}", CODETAINER_BUDGET="calls=5 tokens=1M/h")
    yield running
    running.stop()


def shown(sandbox: Running) -> dict[str, object]:
    done = sandbox.codetainer("budget", "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def call(sandbox: Running, *, stream: bool = False) -> tuple[int, str]:
    return post(sandbox, request(model="claude-opus-5", stream=stream))


def counted(sandbox: Running, calls: int) -> dict[str, object]:
    """Waits until the output of so many calls is counted."""
    tokens = calls * CALL[1]
    return dict(eventually(f"{calls} calls are counted", lambda: (b := shown(sandbox))["output"] == tokens and b))


def test_calls_are_counted_refused_and_continued(limited: Running) -> None:
    for number in range(5):
        assert call(limited, stream=number % 2 == 1)[0] == 200
        if number == 3:
            eventually("a warning", lambda: BudgetLevel.WARNED in [c.level for c in limited.events(BudgetChanged)])
    budget = counted(limited, 5)
    assert (budget["calls"], budget["input"]) == (5, 5000)
    assert budget["cost"] == pytest.approx(5 * (1000 * 5 + 20 * 25) / 1e6)

    before = limited.asked(kind="http", path="/v1/messages")
    status, answer = call(limited)
    assert status == 422
    assert "the operator's budget for the model is used up (5 of 5 calls)" in json.loads(answer)["error"]["message"]
    assert post(limited, request(), path="/v1/messages/count_tokens")[0] == 200  # costs nothing
    assert limited.asked(kind="http", path="/v1/messages") == before
    eventually("it is told", lambda: limited.state.budget and limited.state.budget.level is BudgetLevel.USED_UP)
    assert "budget is used up" in limited.codetainer("status").stdout
    eventually("the journal has all calls", lambda: limited.state.model and limited.state.model.calls == 5)
    assert "5 calls" in limited.codetainer("traffic").stdout
    assert "codetainer_model_calls_total 5.0" in limited.codetainer("metrics").stdout
    assert not any("budget" in view.latest.detail for view in limited.state.refusals.serious.values())

    limited.kill("reader")
    eventually("the reader counts on", lambda: limited.codetainer("budget").returncode == 0 and limited.pid("reader"))
    eventually("still refused", lambda: call(limited)[0] == 422)

    assert limited.agent("codetainer", "budget", "+calls=9").returncode != 0  # only the operator may continue it
    assert limited.codetainer("budget", "+20").returncode != 0  # there is no limit of cost
    assert budget["offer"] == {
        "more": "+calls=5", "words": ["5 calls"], "before": ["5 of 5 calls"], "after": ["5 of 10 calls"],
    }  # fmt: skip
    assert limited.codetainer("budget", "+calls=1,+20").returncode != 0  # then nothing is added
    done = limited.codetainer("budget", "+calls=1")
    assert done.returncode == 0, done.stderr
    assert "5 of 6 calls" in done.stdout
    assert [raised.amount for raised in limited.events(BudgetRaised)] == ["1 calls"]
    eventually("it continues", lambda: call(limited)[0] == 200)
    assert call(limited)[0] == 422
    assert (
        eventually("the journal has it", lambda: (m := limited.state.model) and m.calls == 6 and m).limits[0] == "6 of 6 calls"
    )


def test_many_calls_at_once_do_not_exceed_the_limit(begin: Begin, tmp_path: Path) -> None:
    running = begin(tmp_path, f"budget-burst-{os.getpid()}", CODETAINER_BUDGET="calls=3")
    try:
        post(running, request())
        code = """
import concurrent.futures, json, subprocess, sys
def one(_):
    words = ["curl", "-sS", "-m", "30", "-o", "/dev/null", "-w", "%{http_code}", "-H", sys.argv[1], "-H",
             "Content-Type: application/json", "--data-binary", "@/tmp/body", "https://api.anthropic.com/v1/messages"]
    return subprocess.run(words, capture_output=True, text=True).stdout
with concurrent.futures.ThreadPoolExecutor(12) as pool:
    print(json.dumps(list(pool.map(one, range(12)))))
"""
        statuses = running.python(code, "Authorization: Bearer sk-ant-oat01-codetainer-has-it")
        assert statuses.count("200") == 2
        assert statuses.count("422") == 10
        assert running.asked(kind="http", path="/v1/messages") == 3
    finally:
        running.stop()


def test_a_limit_of_cost_counts_an_unknown_model_at_the_highest_price(begin: Begin, tmp_path: Path) -> None:
    running = begin(tmp_path, f"budget-cost-{os.getpid()}", CODETAINER_BUDGET="cost=0.03/h")
    try:
        assert post(running, request(model="nobody-knows-it"))[0] == 200
        eventually("it is counted", lambda: any(used.unknown == ("nobody-knows-it",) for used in running.events(ModelUsed)))
        # 1000 tokens at $15 and 20 at $75 a million; the second call reaches the limit
        assert post(running, request(model="nobody-knows-it"))[0] == 200
        eventually("it is used up", lambda: post(running, request())[0] == 422)
        assert "no price is known for nobody-knows-it" in running.codetainer("budget").stdout
        assert running.codetainer("budget", "+1").returncode == 0
        eventually("it continues", lambda: post(running, request())[0] == 200)
    finally:
        running.stop()

"""Recommendations: the names refused most, never invented, serious or similar to allowlisted ones."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.contract import events as e
from backend.contract.events import Reason, Refused, Via
from backend.contract.paths import Paths
from backend.contract.state import State, fold_all
from codetainer_tui import suggest
from codetainer_tui.lookalike import looks_generated, resembles
from codetainer_tui.recommendation import wanted

LISTED = ("github.com", "api.github.com", "*.githubusercontent.com", "api.anthropic.com", "docs.wheels.test",
          "objects.example.com", "go.test")  # fmt: skip

LOOKALIKES = [
    ("githud.com", "github.com"),
    ("gihtub.com", "github.com"),
    ("githubb.com", "github.com"),
    ("gthub.com", "github.com"),
    ("git-hub.com", "github.com"),
    ("g1thub.com", "github.com"),
    ("github.co", "github.com"),
    ("login.github.dev", "github.com"),
    ("github.com.evil.test", "github.com"),
    ("github-com.evil.test", "github.com"),
    ("github-login.com", "github.com"),
    ("github.evil.test", "github.com"),
    ("xn--gthub-n4a.com", "github.com"),  # gıthub, without its dot
    ("gíthub.com".encode("idna").decode(), "github.com"),
    ("api.anthropic.co", "api.anthropic.com"),
    ("anthr0pic.com", "api.anthropic.com"),
    ("whee1s.test", "docs.wheels.test"),
    ("docs.wheels.example", "docs.wheels.test"),
    ("githubusercontent.net", "*.githubusercontent.com"),
]
OTHERS = [
    "uploads.github.com", "raw.githubusercontent.com", "example.net", "files.example.org", "debug.test", "gopher.test",
    "x.test",
    "telemetry.example.net", "storage.parts.test", "heels.example.org", "gone.test",
]  # fmt: skip


@pytest.mark.parametrize(("name", "pattern"), LOOKALIKES)
def test_names_that_resemble_an_allowlisted_one(name: str, pattern: str) -> None:
    assert resembles(name, LISTED) == pattern


@pytest.mark.parametrize("name", OTHERS)
def test_names_that_resemble_none(name: str) -> None:
    assert resembles(name, LISTED) == ""


@given(st.text(max_size=80))
def test_any_text_can_be_compared(name: str) -> None:
    resembles(name, LISTED)
    looks_generated(name)


@pytest.mark.parametrize(
    ("name", "generated"),
    [
        ("n7251-518120.dev", True), ("x1.a2b3c4d5.test", True), ("0123456789abcdef.test", True), ("deadbeef0123.test", True),
        ("aaaaaaaabbbbbbbbccccccccdddd.test", True), ("files.example.org", False), ("s3.eu-west-1.test", False),
        ("cdn-2024.test", True), ("registry-1.hub.test", False), ("localhost", False), ("x.1234", False),
    ],
)  # fmt: skip
def test_generated_names(name: str, generated: bool) -> None:
    assert looks_generated(name) is generated


def dns(name: str, count: int = 1, program: str = "") -> Refused:
    return Refused(Via.DNS, Reason.NOT_LISTED, count, "dns", name, program=program)


def after(*events: e.Event) -> State:
    return fold_all(
        e.Stamped(1000.0 + number * 0.01, number, event) for number, event in enumerate((e.ListRead(LISTED), *events))
    )


def names(state: State) -> list[str]:
    return [one.name for one in wanted(state, 2000.0) if one.recommended]


def test_the_order_is_by_count_then_by_first_time() -> None:
    assert names(after(dns("once.test"), dns("often.test", 3), dns("late.test"))) == ["often.test", "once.test", "late.test"]


def test_serious_similar_generated_muted_and_open_names_are_not_recommended() -> None:
    state = after(
        Refused(Via.GATE, Reason.ANOTHER_SITE, 900, "tcp", "site.test", "192.0.2.1", 443), dns("githud.com", 800),
        dns("n12345.test", 700), dns("loud.test", 600), e.Muted("loud.test"), dns("open.test", 500), e.Allowed("open.test"),
        dns("wanted.test"),
    )  # fmt: skip
    assert names(state) == ["wanted.test"]
    assert suggest.lines(state, 2000.0) == [
        "wanted.test read  # refused 1 time",
        "# not suggested: githud.com read  refused 800 times; it resembles github.com, which is on the allowlist",
        "# not suggested: n12345.test read  refused 700 times; the name looks generated",
        "# 1 serious refusal to look at first: codetainer status",
        "# 1 muted name left out: codetainer mute NAME --off shows one again",
    ]


def test_what_is_muted_is_not_passed_over_in_silence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = Paths(tmp_path)
    paths.journal.parent.mkdir(parents=True)
    events = [dns("one.test"), dns("two.test"), e.Muted("one.test"), e.Muted("two.test")]
    paths.journal.write_text("".join(f"{e.encode(e.Stamped(1000.0, n, event))}\n" for n, event in enumerate(events)))
    assert suggest.suggest(paths) == 0
    output = capsys.readouterr()
    assert output.err == "codetainer: no refused name is worth suggesting (2 muted names left out)\n"
    assert output.out == "# 2 muted names left out: codetainer mute NAME --off shows one again\n"


def test_another_port_of_an_open_name_is_recommended() -> None:
    port = Refused(Via.FIREWALL, Reason.PORT_NOT_LISTED, 2, "tcp", "open.test", "192.0.2.1", 8443)
    state = after(e.Allowed("open.test"), dns("open.test"), port)
    assert [one.entry for one in wanted(state, 2000.0)] == ["open.test:8443"]


@pytest.mark.parametrize("shape", ["n{0}-{1}.dev", "{1}{0}.t.example.org", "h{0}.site{2}.test", "n{0}.x{0}", "single{0}"])
def test_a_flood_is_not_recommended_and_hides_no_needed_name(shape: str) -> None:
    chance = random.Random(7)
    flood = [dns(shape.format(number, chance.randrange(99999), number % 997)) for number in range(50_000)]
    state = after(
        *(dns("files.test", 1, "pip") for _ in range(3)), *flood[:25_000], dns("files.test", 1, "pip"), *flood[25_000:]
    )
    assert names(state)[:1] == ["files.test"]
    lines = suggest.lines(state, state.updated_at)
    assert lines[0] == "files.test read  # refused 4 times, by pip"
    assert all(line.startswith("# ") for line in lines[1:]), lines[:5]
    assert len(lines) < 10

"""Counts of refused names: one lookup of a program is one refusal, and nothing else is left out."""

from __future__ import annotations

import asyncio

import pytest

from backend.contract.paths import Paths
from backend.contract.refusals import OTHER_NAMES
from backend.services import dns_client
from backend.services.coredns import CoreDns
from backend.services.service import Tally


@pytest.fixture
def coredns(monkeypatch: pytest.MonkeyPatch) -> CoreDns:
    monkeypatch.setattr(dns_client, "program", lambda port: "curl" if port else "")
    return CoreDns(Paths(), lambda _: None)


async def counted(coredns: CoreDns, *queries: str) -> dict[str, int]:
    """The refusals of an interval by name, from `TYPE NAME PORT`."""
    output = asyncio.StreamReader()
    output.feed_data("".join(f"refused {query}\n" for query in queries).encode())
    output.feed_eof()
    await coredns._read(output)
    refused = coredns.take_refused()
    return {name: sum(one.count for one in refused if one.name == name) for name in {one.name for one in refused}}


A, AAAA = "A a.example. 4001", "AAAA a.example. 4001"
COUNTED = [
    ((A, AAAA), 1),  # getaddrinfo(3)
    ((AAAA, A), 1),
    ((A, AAAA, A, AAAA), 2),
    ((A, A), 2),  # a query that is repeated
    ((A, A, AAAA), 2),
    ((A, "AAAA a.example. 4002"), 2),  # two programs
    (("A a.example. 0", "AAAA a.example. 0"), 2),  # in a flood nobody knows
    ((A, "TXT a.example. 4001"), 2),
]


@pytest.mark.parametrize(("queries", "count"), COUNTED)
async def test_both_queries_of_a_lookup_are_one_refusal(coredns: CoreDns, queries: tuple[str, ...], count: int) -> None:
    assert await counted(coredns, *queries) == {"a.example": count}


async def test_a_lookup_that_two_intervals_share_is_one_refusal(coredns: CoreDns) -> None:
    assert await counted(coredns, A) == {"a.example": 1}
    assert await counted(coredns, AAAA) == {}
    assert await counted(coredns, A) == {"a.example": 1}
    assert await counted(coredns) == {}
    assert await counted(coredns, AAAA) == {"a.example": 1}  # long after


async def test_names_beyond_the_limit_are_counted_together(coredns: CoreDns) -> None:
    queries = [f"A n{number}.example. 0" for number in range(Tally.MAX + 28)]
    assert (await counted(coredns, *queries))[OTHER_NAMES] == 28


async def test_in_a_learning_run_the_program_that_asked_is_reported(coredns: CoreDns) -> None:
    output, asked = asyncio.StreamReader(), list[tuple[str, str]]()
    coredns.asked = lambda name, program: asked.append((name, program))
    output.feed_data(b"asked A New.Example. 4001\nasked A unknown.example. 0\n")
    output.feed_eof()
    await coredns._read(output)
    assert asked == [("new.example", "curl")]
    assert coredns.take_refused() == []

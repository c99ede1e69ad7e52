"""The catalogue of ways to write at GitHub (ways.toml) agrees with the rules (credentials.toml)."""

from __future__ import annotations

import re

import pytest

from backend.settings import credentials_file, ways_file
from network.gate import ways
from network.gate.ways import Verdict

CATALOGUE = ways_file.read()
WAYS = CATALOGUE.ways
HOSTS = {host.name: host for host in credentials_file.shipped()}
READS = {"POST /*/*/git-upload-pack", "POST /*/git-upload-pack", "POST /graphql"}  # writes only for HTTP


def named(verdict: Verdict) -> list[str]:
    return [f"{r.host} {r.method} {r.path}" for way in WAYS if way.verdict is verdict for r in way.requests]


def test_every_permitted_write_is_in_the_catalogue_once() -> None:
    permitted = {
        f"{host.name} {write}"
        for host in HOSTS.values()
        if "github" in host.name
        for write in host.writes
        if write not in READS
    }
    assert sorted(named(Verdict.SCOPE)) == sorted(permitted)


def test_every_permitted_mutation_is_in_the_catalogue_once() -> None:
    mutations = [name for way in WAYS if way.verdict is Verdict.SCOPE for name in way.mutations]
    assert sorted(mutations) == sorted(HOSTS["api.github.com"].mutations)


def test_no_refused_mutation_is_permitted() -> None:
    refused = {name for way in WAYS if way.verdict is Verdict.REFUSED for name in way.mutations}
    assert refused.isdisjoint(HOSTS["api.github.com"].mutations)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.name))
def test_a_way_is_explained_and_can_be_tried(way: ways.Way) -> None:
    assert way.lets_out and way.why and (way.requests or way.mutations)
    assert {request.host for request in way.requests} <= set(HOSTS)
    assert all(re.match(r"(PUSH|/)\S*\Z", request.path) for request in way.requests)

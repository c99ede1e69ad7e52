"""The package tools' configuration as we read it is what the real tools report."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pip._internal.models.index import PyPI

from backend.boot import registries

pytestmark = pytest.mark.netns


def test_apt_sources_are_those_that_apt_uses() -> None:
    ask = ["apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI)"]
    targets = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    assert set(registries.hosts(registries.apt_sources(registries.APT))) == set(registries.hosts(targets))


TWO_SECTIONS = """\
[global]
index-url = https://a.example/
extra-index-url = https://b.example/
    https://c.example/
[install]
index-url = https://d.example/%x
"""


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("[global]\nindex-url = https://a.example/simple\n", ["https://a.example/simple"]),
        (TWO_SECTIONS, ["https://d.example/%x", "https://b.example/", "https://c.example/"]),
    ],
)
def test_pips_configuration_is_read_as_pip_reads_it(tmp_path: Path, config: str, expected: list[str]) -> None:
    (tmp_path / "pip.conf").write_text(config)
    code = registries._PIP.replace('"/etc/xdg/pip", "/etc", sys.prefix', repr(str(tmp_path)) + ",")
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == expected


def test_pips_built_in_index_is_read_from_its_source() -> None:
    code = registries._PIP.replace('"/etc/xdg/pip", "/etc", sys.prefix', "")
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [PyPI.url, f"https://{PyPI.file_storage_domain}"]

"""The gate's certificates are renewed in time, also if the clock is changed, and the bundle never has half a certificate."""

from __future__ import annotations

import asyncio
import resource
import signal
from pathlib import Path

import pytest
from cryptography import x509

from backend.contract.paths import Paths
from backend.services import certificates
from backend.services.certificates import Made, Wanted
from backend.services.trust import SKEW, Trust
from backend.system import SystemFailure
from network.gate.haproxy import Places

DAY = 86400.0
BEGUN = 1_800_000_000.0


class Clock:
    now = BEGUN

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def trust(tmp_path: Path, clock: Clock) -> Trust:
    paths, places = Paths(tmp_path), Places(tmp_path / "gate")
    places.certificates.mkdir(parents=True)
    paths.trusted.parent.mkdir(parents=True)
    paths.trusted.write_text("the system's\n")

    async def maker(_: Paths, wanted: Wanted, process: asyncio.subprocess.Process | None) -> Made:
        return certificates.make(wanted)

    made = Trust(paths, places, clock, maker)
    made.valid, made._names = 3 * DAY, ("api.example",)
    made.in_use()
    return made


@pytest.mark.parametrize(
    ("step", "due"),
    [
        (0.0, False),
        (1.9 * DAY, False),
        (2.1 * DAY, True),  # the same after a suspend or a change of the clock
        (-3600.0, False),
        (-SKEW * 0.9, True),  # close to the start of the validity
        (-400 * DAY, True),
    ],
)
def test_certificates_are_due_for_renewal(trust: Trust, clock: Clock, step: float, due: bool) -> None:
    clock.now += step
    assert trust.due is due
    trust.in_use()
    assert not trust.due


async def test_a_failed_write_leaves_the_bundle_unchanged(trust: Trust, tmp_path: Path) -> None:
    bundle = Paths(tmp_path).trusted
    limits, before = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    text = "the system's\n" + "more\n" * 2000  # larger than the other files
    bundle.write_text(text)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(text) + 100, limits[1]))
    try:
        with pytest.raises(SystemFailure, match="cannot add the new CA to the bundle"):
            await trust.renew()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert bundle.read_text() == text
    await trust.renew()
    assert bundle.read_text().startswith(text)
    assert bundle.read_text().count("-----END CERTIFICATE-----") == 1


async def test_retries_reuse_the_new_certificates(trust: Trust, clock: Clock, tmp_path: Path) -> None:
    """There is a retry every minute, and a new CA each time would mean thousands in a day."""
    clock.now += 2.5 * DAY
    first = await trust.renew()
    for _ in range(10):
        clock.now += 60
        assert await trust.renew() == first
    assert Paths(tmp_path).trusted.read_text().count("-----END CERTIFICATE-----") == 1
    trust.in_use()
    clock.now += 2 * DAY  # two thirds of the validity
    assert trust.due
    assert await trust.renew() != first


async def test_a_host_that_is_opened_later_gets_a_ca_of_its_own(trust: Trust, tmp_path: Path) -> None:
    bundle = Paths(tmp_path).trusted
    assert trust.missing(("api.example", "*.more.example")) == ("*.more.example",)
    await trust.add(("*.more.example",))
    assert trust.missing(("api.example", "*.more.example")) == ()
    (authority,) = certificates_of(bundle.read_text())
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    assert [name.value for name in constraints.permitted_subtrees or ()] == ["more.example"]
    (own,) = certificates_of(Places(tmp_path / "gate").certificate("*.more.example").read_text())
    names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["*.more.example"]
    own.verify_directly_issued_by(authority)
    lines = Places(tmp_path / "gate").certificate_list.read_text().splitlines()
    assert [line.rpartition("certificates/")[2] for line in lines] == [
        "api.example.pem api.example api.example.",
        "+.more.example.pem [alpn http/1.1] *.more.example *.more.example.",
    ]


def certificates_of(text: str) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(text[text.index("-----BEGIN CERTIFICATE") :].encode())

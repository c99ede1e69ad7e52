"""What boot says where an engine has not given it what it needs."""

import pytest

from backend import capabilities
from backend.capabilities import NEEDED, CapabilitiesMissing


def status(effective: int) -> str:
    return f"Name:\tpython3\nCapPrm:\t000001ffffffffff\nCapEff:\t{effective:016x}\nCapBnd:\t000001ffffffffff\n"


def test_what_is_needed_is_enough() -> None:
    capabilities.require(status(sum(1 << capability.number for capability in NEEDED)))


def test_what_is_missing_is_named_with_its_reason_and_the_flag_that_gives_it() -> None:
    docker = 0x00000000A80425FB  # what Docker gives by default
    with pytest.raises(CapabilitiesMissing) as caught:
        capabilities.require(status(docker))
    assert "3 of root's rights are missing\n  CAP_NET_ADMIN: the firewall\n" in str(caught.value)
    assert caught.value.hint == "start the container with --cap-add NET_ADMIN --cap-add SYS_PTRACE --cap-add SYS_ADMIN"


@pytest.mark.parametrize("capability", NEEDED, ids=lambda capability: capability.name)
def test_each_is_missed(capability: capabilities.Capability) -> None:
    everything = (1 << 41) - 1
    assert capabilities.missing(status(everything & ~(1 << capability.number))) == (capability,)


def test_what_sshd_needs_is_no_condition_of_boot() -> None:
    without = sum(1 << capability.number for capability in capabilities.NEEDED)
    status = f"CapEff:\t{without:016x}\n"
    assert capabilities.missing(status) == ()
    assert not capabilities.has(status, capabilities.AUDIT_WRITE)
    assert capabilities.has(f"CapEff:\t{without | 1 << 29:016x}\n", capabilities.AUDIT_WRITE)

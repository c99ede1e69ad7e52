"""The capabilities that boot needs, and the error if some are missing."""

import pytest

from backend import capabilities
from backend.capabilities import NEEDED, CapabilitiesMissing


def status(effective: int) -> str:
    return f"Name:\tpython3\nCapPrm:\t000001ffffffffff\nCapEff:\t{effective:016x}\nCapBnd:\t000001ffffffffff\n"


def test_the_needed_capabilities_are_enough() -> None:
    capabilities.require(status(sum(1 << capability.number for capability in NEEDED)))


def test_the_error_names_purposes_and_docker_options() -> None:
    docker = 0x00000000A80425FB  # Docker's default
    with pytest.raises(CapabilitiesMissing) as caught:
        capabilities.require(status(docker))
    assert "3 capabilities are missing\n  CAP_NET_ADMIN: the firewall\n" in str(caught.value)
    assert caught.value.hint == "Start the container with --cap-add NET_ADMIN --cap-add SYS_PTRACE --cap-add SYS_ADMIN."


@pytest.mark.parametrize("capability", NEEDED, ids=lambda capability: capability.name)
def test_each_missing_capability_is_detected(capability: capabilities.Capability) -> None:
    everything = (1 << 41) - 1
    assert capabilities.missing(status(everything & ~(1 << capability.number))) == (capability,)


def test_boot_does_not_require_the_capability_of_sshd() -> None:
    without = sum(1 << capability.number for capability in capabilities.NEEDED)
    status = f"CapEff:\t{without:016x}\n"
    assert capabilities.missing(status) == ()
    assert not capabilities.has(status, capabilities.AUDIT_WRITE)
    assert capabilities.has(f"CapEff:\t{without | 1 << 29:016x}\n", capabilities.AUDIT_WRITE)

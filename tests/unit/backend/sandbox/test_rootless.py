"""What an ordinary user lacks for a sandbox, with its remedy; what pasta is told; and the root made of layers."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend import processes
from backend.sandbox import layers, pasta, rootless
from backend.sandbox.user_namespace import Range


def test_a_program_for_the_map_has_to_be_setuid(tmp_path: Path) -> None:
    assert rootless.of_mapper(None) == "not found"
    program = tmp_path / "newuidmap"
    program.touch(0o755)
    assert rootless.of_mapper(program) == f"{program} is not setuid"
    program.chmod(0o4755)
    assert rootless.of_mapper(program) in ("", f"{program} is on a file system that is mounted nosuid")


def test_no_new_privileges_are_read_from_the_status() -> None:
    assert rootless.no_new_privileges("Name:\tx\nNoNewPrivs:\t1\n")
    assert not rootless.no_new_privileges("Name:\tNoNewPrivs: 1\nNoNewPrivs:\t0\n")


def test_too_few_ids_are_counted() -> None:
    assert rootless.too_few(9, [Range(100000, 65536)]) == ""
    assert rootless.too_few(9, [Range(100000, 8)]) == "8 are available, a sandbox needs 9"
    assert rootless.too_few(9, []).startswith("only your own id is available; a sandbox needs 9 more")


@pytest.mark.parametrize(
    ("switches", "remedy"),
    [
        ({"unprivileged_userns_clone": "0\n", "max_user_namespaces": "15000\n"}, "kernel.unprivileged_userns_clone=1"),
        ({"max_user_namespaces": "0\n"}, "user.max_user_namespaces to 15000"),
        ({"apparmor_restrict_unprivileged_userns": "1\n"}, "give /x/userns a profile (docs/getting-started.md, Without root)"),
        ({"apparmor_restrict_unprivileged_userns": "0\n", "max_user_namespaces": "15000\n"}, rootless.GUIDE),
        ({}, rootless.GUIDE),
    ],
)
def test_the_switch_that_forbids_user_namespaces_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, switches: dict[str, str], remedy: str
) -> None:
    for name in ("CLONE", "MOST", "APPARMOR"):
        monkeypatch.setattr(rootless, name, tmp_path / getattr(rootless, name).name)
    for name, text in switches.items():
        (tmp_path / name).write_text(text)
    assert remedy in rootless.remedy(Path("/x/userns"))


def test_a_device_for_the_network_that_cannot_be_opened(tmp_path: Path) -> None:
    lacking = {lack.name: lack for lack in rootless.network_lacks(tmp_path / "tun")}
    assert lacking[f"{tmp_path}/tun"].problem == f"{tmp_path}/tun: No such file or directory"
    assert "modprobe tun" in lacking[f"{tmp_path}/tun"].remedy


def test_pasta_opens_nothing_of_the_machine() -> None:
    """Its defaults let the sandbox connect to the machine's 127.0.0.1."""
    argv = pasta.command(Path("/usr/bin/pasta"), 7, forward=False)
    assert " ".join(argv) == ("/usr/bin/pasta -f -q -4 --config-net --no-map-gw -t none -u none -T none -U none -I eth0 7")
    assert pasta.command(Path("/usr/bin/pasta"), 7, forward=True)[-5:] == ["--dns-forward", "169.254.1.1", "-I", "eth0", "7"]
    slirp = pasta.command(Path("/usr/bin/slirp4netns"), 7, forward=False)
    assert {"--disable-host-loopback", "--disable-dns", "--userns-path=/proc/7/ns/user"} <= set(slirp)
    assert "--disable-dns" not in pasta.command(Path("/usr/bin/slirp4netns"), 7, forward=True)


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("nameserver 127.0.0.53\n", True),
        ("nameserver 127.0.0.53\nnameserver 192.0.2.53\n", False),
        ("nameserver 192.0.2.53\n", False),
        ("", False),
    ],
)
def test_resolvers_on_loopback_are_recognized(text: str, loopback: bool) -> None:
    assert pasta.on_loopback(text) is loopback


ROUTES = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"


@pytest.mark.parametrize(
    ("line", "gateway"),
    [
        ("", None),
        ("eth0\t00000000\tFD7100CB\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", "203.0.113.253"),
        ("eth0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n", "0.0.0.0"),
        ("eth0\t00000000\tFD7100CB\t0002\t0\t0\t0\t00000000\t0\t0\t0\n", None),
        ("eth0\tFC7100CB\t00000000\t0001\t0\t0\t0\tFCFFFFFF\t0\t0\t0\n", None),
        ("eth1\t00000000\tFD7100CB\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", None),
    ],
)
def test_the_network_is_ready_with_its_default_route(line: str, gateway: str | None) -> None:
    assert pasta.default_gateway(ROUTES + line) == gateway


def test_mount_points_are_read_with_their_escapes() -> None:
    text = (
        "22 1 0:1 / / rw - ext4 /dev/a rw\n30 22 0:2 / /var/a\\040b rw,x shared:1 - tmpfs none rw\n31 22 0:3 / /é rw - x y z\n"
    )
    assert layers.mount_points(text) == (Path("/"), Path("/var/a b"), Path("/é"))


def test_only_the_machines_own_user_namespace_maps_all_ids(tmp_path: Path) -> None:
    uid_map = tmp_path / "uid_map"
    uid_map.write_text("         0          0 4294967295\n")
    assert not processes.in_user_namespace(uid_map)
    for text in ("         0       1001          1\n       953     165535          1\n", "0 100000 65536\n", ""):
        uid_map.write_text(text)
        assert processes.in_user_namespace(uid_map)

"""`codetainer ssh-config`: the entry for ssh's configuration to log in here, and the host key to pin."""

from __future__ import annotations

import re
import socket
import sys

from backend.contract.events import ServiceState, SshOpened
from backend.contract.paths import Paths
from backend.contract.state import State
from codetainer_tui.state import current
from codetainer_tui.words import harmless

ANYWHERE = ("192.0.2.1", 9)  # TEST-NET-1; connecting a datagram socket sends no packet


class NoSshd(Exception):
    """ssh logins are impossible: the reason, and the remedy in `hint`."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def opened(state: State) -> SshOpened:
    """The port and the keys of the running sshd. Raises NoSshd."""
    service = state.services.get("sshd")
    if state.ssh is None or service is None:
        raise NoSshd(
            "sshd is not enabled here",
            "Set CODETAINER_SSH_KEYS for the next boot, or use docker exec or kubectl exec, which need no sshd.",
        )
    if service.state is not ServiceState.UP:
        detail = f": {harmless(service.detail, 200)}" if service.detail else ""
        raise NoSshd(f"sshd is {service.state}{detail}", "Run codetainer logs to see why.")
    return state.ssh


def alias(ssh: SshOpened) -> str:
    """The HostKeyAlias of the key. It differs for each key, so the key of a new boot does not contradict that of an old one."""
    return "codetainer-" + re.sub(r"[^a-z0-9]", "", ssh.fingerprint.removeprefix("SHA256:").lower())[:10]


def known_host(ssh: SshOpened) -> str:
    """The line for known_hosts."""
    return f"{alias(ssh)} {ssh.host_key}\n"


def entry(ssh: SshOpened, name: str, host: str, port: int) -> str:
    """The Host entry (ssh_config(5))."""
    return (
        f"# for ~/.ssh/config; if the port is published, set --host and --port to the published address\n"
        f"Host {name}\n"
        f"    HostName {host}\n"
        f"    Port {port}\n"
        f"    User root\n"
        f"    HostKeyAlias {alias(ssh)}\n"
        f"    StrictHostKeyChecking yes\n"
        f"# for ~/.ssh/known_hosts (codetainer ssh-config --known-hosts): the host key {ssh.fingerprint}\n"
        f"#   {known_host(ssh)}"
    )


def own_address() -> str:
    """This sandbox's address on its network, "" if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(ANYWHERE)
        except OSError:
            return ""
        return str(sock.getsockname()[0])


def ssh_config(paths: Paths, *, name: str, host: str, port: int, known_hosts: bool) -> int:
    """Prints the entry or the known_hosts line. Exit code 1 if ssh logins are impossible."""
    try:
        ssh = opened(current(paths))
    except NoSshd as error:
        sys.stderr.write(f"codetainer: {error}\n  {error.hint}\n")
        return 1
    if known_hosts:
        sys.stdout.write(known_host(ssh))
        return 0
    address = host or own_address()
    if not address:
        sys.stderr.write("codetainer: cannot find the address of this sandbox\n  Set it with --host.\n")
        return 1
    sys.stdout.write(entry(ssh, name, address, port or ssh.port))
    return 0

"""Tries the walls from the inside, as the agent: what has to fail is attempted, and has to fail at once.

Argument: a JSON object with `name`, `resolver` and `outside` ([address, port]), `upstream` and `site` (the same or null),
`listed` (of pairs too), `seccomp` (whether there is a filter), `ssh` (sshd's port, or 0),
`platform` (a folder of the platform's, which need not be there).
Prints a JSON object: probe -> "" where it held, else what happened instead.
"""

import contextlib
import json
import os
import secrets
import socket
import struct
import sys
from pathlib import Path

SECONDS = 2.0
LISTED_SECONDS = 6.0
CLONE_NEWUSER = 0x10000000  # sched.h


def query(name: str) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", secrets.randbits(16), 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)


def unlisted_name(address: str, port: int, name: str) -> "tuple[str, str]":
    """A name that nobody has listed does not exist. First why there was no answer, then what was wrong with it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(SECONDS)
        sock.connect((address, port))
        try:
            sock.send(query(name))
            rcode = sock.recv(4096)[3] & 0x0F
        except OSError as error:
            return f"the resolver does not answer: {error}", ""
    return "", "" if rcode == 3 else f"an unlisted name was answered with rcode {rcode}, it should not exist"


def outside_address(address: str, port: int) -> str:
    """A connection to an address that DNS never gave out is refused at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(SECONDS)
        try:
            sock.connect((address, port))
        except TimeoutError:
            return f"a connection to {address}:{port} was not refused, it went unanswered"
        except OSError:
            return ""
    return f"a connection to {address}:{port} was answered, it should have been refused"


def another_site(address: str, port: int, name: str) -> str:
    """A name that is not on the list gets nowhere, whatever address it is asked of."""
    import ssl  # this one probe alone needs it

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((address, port), timeout=SECONDS) as sock:
            context.wrap_socket(sock, server_hostname=name).close()
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return ""
    except ssl.SSLError as error:
        return f"an unlisted name at {address}:{port} was answered: {error.reason}"
    except OSError:
        return ""  # a gate too busy to refuse carries nothing either
    return f"an unlisted name at {address}:{port} was carried, it should have been refused"


def upstream_datagram(address: str, port: int) -> str:
    """The upstream resolver answers the guard alone."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(SECONDS)
        try:
            sock.connect((address, port))
            sock.send(query("probe.example"))
            sock.recv(4096)
        except TimeoutError:
            return f"a datagram to {address}:{port} was not refused, it went unanswered"
        except OSError:
            return ""
    return f"a datagram to {address}:{port} was answered, it should have been refused"


def root_read_only() -> str:
    return "" if os.statvfs("/").f_flag & os.ST_RDONLY else "the root file system can be written"


def foreign_environments() -> str:
    """No environment of another user's process can be read: that is where credentials stand."""
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if process.stat().st_uid != os.getuid() and (process / "environ").read_bytes():
                return f"the environment of process {process.name} can be read"
    return ""


def privileges() -> str:
    """No capability, no supplementary group, and no way to gain one."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    if int(status["CapEff"], 16) or int(status["CapBnd"], 16):
        return "the agent has capabilities"
    if os.getgroups():
        return "the agent is in supplementary groups"
    return "" if status.get("NoNewPrivs") == "1" else "the agent may gain privileges"


def platforms_folder(folder: str) -> str:
    """The agent cannot look into what the platform has put here."""
    try:
        os.listdir(folder)  # noqa: PTH208
    except OSError:
        return ""
    return f"the agent can look into {folder}"


def system_calls() -> str:
    """A filter is on (proc(5): Seccomp 2), and it holds: a user namespace would give the agent capabilities over it."""
    status = Path("/proc/self/status").read_text()
    if "Seccomp:\t2" not in status:
        return "the agent's system calls are not filtered"
    import ctypes  # this one probe alone needs it

    child = os.fork()  # in another namespace the rest of this process would be somebody else
    if child == 0:
        os._exit(ctypes.CDLL(None).unshare(CLONE_NEWUSER) == 0)
    return "the agent can make user namespaces" if os.waitpid(child, 0)[1] else ""


def sshd(port: int) -> str:
    """sshd is the operator's: nobody inside reaches it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(SECONDS)
        try:
            sock.connect(("127.0.0.1", port))
        except TimeoutError:
            return f"a connection to sshd's port {port} was not refused, it went unanswered"
        except OSError:
            return ""
    return "sshd answers the agent, it should be out of its reach"


def listed_host(names: "list[tuple[str, int]]") -> str:
    """One of the listed hosts answers."""
    reason = "no listed host was given"
    for name, port in names:
        try:
            with socket.create_connection((name, port), timeout=LISTED_SECONDS):
                return ""
        except socket.gaierror as error:
            reason = f"{name} cannot be resolved: {error.strerror}"
        except OSError as error:
            reason = f"{name}:{port} does not answer: {error}"
    return reason


def main() -> None:
    asked = json.loads(sys.argv[1])
    address, port = asked["resolver"]
    silent, unlisted = unlisted_name(address, port, asked["name"])
    results = {
        "resolver": silent,
        "unlisted name": unlisted,
        "outside address": outside_address(*asked["outside"]),
        "root read-only": root_read_only(),
        "environments": foreign_environments(),
        "privileges": privileges(),
        "platform": platforms_folder(asked["platform"]),
    }
    if asked["ssh"]:
        results["sshd"] = sshd(int(asked["ssh"]))
    if asked["seccomp"]:
        results["system calls"] = system_calls()
    if asked["site"]:
        results["another site"] = another_site(str(asked["site"][0]), int(asked["site"][1]), asked["name"])
    if asked["upstream"]:
        results["upstream resolver"] = upstream_datagram(*asked["upstream"])
    if asked["listed"] is not None:
        results["listed host"] = listed_host([(str(name), int(port)) for name, port in asked["listed"]])
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()

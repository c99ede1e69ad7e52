"""Tests the protections from inside, as the agent. Each probe tries something that must fail at once.

Argument: a JSON object with `name`, `resolver` and `outside` ([address, port]), `upstream`, `site` and `notifications` (the
same, or null; the last is open for senders of notifications),
`model` (an object with the `host` of the model's API, `path`, `header` and `value` of the credential; or null),
`listed` (a list of [name, port], or null), `seccomp` (true if there is a filter), `ssh` (sshd's port, or 0), `platform` (the
platform's folder, which may not exist).
Prints a JSON object: probe -> "" if the protection held, otherwise the problem.
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
    """Checks that DNS answers NXDOMAIN for an unlisted name.

    Returns two problems: why there was no answer, and what was wrong with the answer.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(SECONDS)
        sock.connect((address, port))
        try:
            sock.send(query(name))
            rcode = sock.recv(4096)[3] & 0x0F
        except OSError as error:
            return f"the resolver does not answer: {error}", ""
    return "", "" if rcode == 3 else f"an unlisted name was answered with rcode {rcode} instead of NXDOMAIN"


def outside_address(address: str, port: int) -> str:
    """Checks that a connection to an address that DNS never returned is refused at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(SECONDS)
        try:
            sock.connect((address, port))
        except TimeoutError:
            return f"a connection to {address}:{port} was not refused: it timed out"
        except OSError:
            return ""
    return f"a connection to {address}:{port} was answered: it should have been refused"


def another_site(address: str, port: int, name: str) -> str:
    """Checks that the gate refuses an unlisted name on an open address."""
    import ssl  # only this probe needs it

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
    return f"an unlisted name at {address}:{port} was carried: it should have been refused"


def request_to_the_model(address: str, port: int, model: "dict[str, str]") -> str:
    """Checks that the gate refuses a tool that the model may not use, before the request leaves."""
    import ssl  # only these probes need it

    body = json.dumps({"messages": [], "tools": [{"type": "codetainer_self_test", "name": "x"}]})
    request = (
        f"POST {model['path']} HTTP/1.1\r\nHost: {model['host']}\r\n{model['header']}: {model['value']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    answer = b""
    try:
        with (
            socket.create_connection((address, port), timeout=SECONDS) as sock,
            context.wrap_socket(sock, server_hostname=model["host"]) as tls,
        ):
            tls.sendall(request.encode())
            while piece := tls.recv(65536):
                answer += piece
    except OSError:
        pass  # a gate or reader that does not answer passes nothing
    if not answer or b"codetainer:" in answer:
        return ""
    return f"{model['host']} answered a request to the model with a forbidden tool: the gate should have refused it"


def upstream_datagram(address: str, port: int) -> str:
    """Checks that the agent cannot query the upstream resolver."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(SECONDS)
        try:
            sock.connect((address, port))
            sock.send(query("probe.example"))
            sock.recv(4096)
        except TimeoutError:
            return f"a datagram to {address}:{port} was not refused: it timed out"
        except OSError:
            return ""
    return f"a datagram to {address}:{port} was answered: it should have been refused"


def root_read_only() -> str:
    return "" if os.statvfs("/").f_flag & os.ST_RDONLY else "the root file system is writable"


def foreign_environments() -> str:
    """Checks that the environments of other users' processes, which contain credentials, cannot be read."""
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if process.stat().st_uid != os.getuid() and (process / "environ").read_bytes():
                return f"the environment of process {process.name} can be read"
    return ""


def privileges() -> str:
    """Checks that the agent has no capabilities or supplementary groups and cannot gain privileges."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    if int(status["CapEff"], 16) or int(status["CapBnd"], 16):
        return "the agent has capabilities"
    if os.getgroups():
        return "the agent is in supplementary groups"
    return "" if status.get("NoNewPrivs") == "1" else "the agent can gain privileges"


def platforms_folder(folder: str) -> str:
    """Checks that the agent cannot list the platform's folder."""
    try:
        os.listdir(folder)  # noqa: PTH208
    except OSError:
        return ""
    return f"the agent can list {folder}"


def system_calls() -> str:
    """Checks that a filter is on (proc(5): Seccomp 2) and prevents user namespaces, which would give the agent capabilities."""
    status = Path("/proc/self/status").read_text()
    if "Seccomp:\t2" not in status:
        return "the agent's system calls are not filtered"
    import ctypes  # only this probe needs it

    child = os.fork()  # so that this process stays in its user namespace
    if child == 0:
        os._exit(ctypes.CDLL(None).unshare(CLONE_NEWUSER) == 0)
    return "the agent can create user namespaces" if os.waitpid(child, 0)[1] else ""


def sshd(port: int) -> str:
    """Checks that the agent cannot connect to sshd."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(SECONDS)
        try:
            sock.connect(("127.0.0.1", port))
        except TimeoutError:
            return f"a connection to sshd's port {port} was not refused: it timed out"
        except OSError:
            return ""
    return f"a connection to sshd's port {port} was answered: it should have been refused"


def listed_host(names: "list[tuple[str, int]]") -> str:
    """Checks that at least one listed host answers."""
    reason = "no listed host to try"
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
    options = json.loads(sys.argv[1])
    address, port = options["resolver"]
    silent, unlisted = unlisted_name(address, port, options["name"])
    results = {
        "resolver": silent,
        "unlisted name": unlisted,
        "outside address": outside_address(*options["outside"]),
        "root read-only": root_read_only(),
        "environments": foreign_environments(),
        "privileges": privileges(),
        "platform": platforms_folder(options["platform"]),
    }
    if options["notifications"]:
        results["notifications"] = outside_address(*options["notifications"])
    if options["ssh"]:
        results["sshd"] = sshd(int(options["ssh"]))
    if options["seccomp"]:
        results["system calls"] = system_calls()
    if options["site"]:
        results["another site"] = another_site(str(options["site"][0]), int(options["site"][1]), options["name"])
        if options["model"]:
            results["request to the model"] = request_to_the_model(
                str(options["site"][0]), int(options["site"][1]), options["model"]
            )
    if options["upstream"]:
        results["upstream resolver"] = upstream_datagram(*options["upstream"])
    if options["listed"] is not None:
        results["listed host"] = listed_host([(str(name), int(port)) for name, port in options["listed"]])
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()

"""`codetainer suspend`: writes all of a sandbox's work to a file, or to stdout.

The supervisor writes the archive. Inside the sandbox, this process sends it the request. On the machine of `codetainer up`, it
runs itself in the sandbox, with the file as stdout, and puts the file into place when it is complete.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from backend.contract.command_line import Parser
from backend.contract.control import Reply, Suspend, decode_reply, encode_request
from backend.contract.paths import Paths
from backend.contract.verbs import BACKEND_VERBS, EXIT_CODE, wrong
from backend.sandbox import registry, relay
from backend.sandbox.enter import environment_for
from backend.sandbox.options import sandbox_name
from backend.sandbox.registry import DEFAULT_NAME, NoSandbox
from backend.sandbox.relay import Command
from backend.suspension import archive
from backend.suspension.description import Unreadable
from backend.suspension.places import replacing
from backend.system import ROOT, SystemFailure, describe

CODES = "Exit code 0: written and complete; 1: failed, and FILE is as it was; 2: wrong usage."
MAX_REPLY = 1 << 20
CONNECT_SECONDS = 5.0


def main(argv: Sequence[str]) -> int:
    parser = Parser(
        prog="codetainer suspend", usage="%(prog)s [--name NAME] [FILE]", description=BACKEND_VERBS["suspend"], epilog=CODES
    )
    parser.add_argument("--name", type=sandbox_name, help=f"name of the sandbox, on its machine (default: {DEFAULT_NAME})")
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="the archive; an existing one is replaced when it is complete"
    )
    options = parser.parse_args(argv)
    if options.file is None and os.isatty(1):
        sys.stderr.write(wrong("cannot write an archive to a terminal", "codetainer suspend FILE"))
        return EXIT_CODE
    try:
        if Paths().control.exists() and not options.name:
            return _tell(_ask(str(options.file.absolute()) if options.file else f"/proc/{os.getpid()}/fd/1"))
        return _from_outside(registry.find(options.name or DEFAULT_NAME), options.file)
    except NoSandbox as error:
        sys.stderr.write(f"codetainer: {error}\n")
    except SystemFailure as error:
        sys.stderr.write(wrong(str(error), error.hint))
    except OSError as error:
        sys.stderr.write(wrong(f"cannot suspend: {describe(error)}"))
    return 1


def _ask(file: str) -> Reply:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
        connection.settimeout(CONNECT_SECONDS)
        connection.connect(str(Paths().control))
        connection.settimeout(None)  # the supervisor bounds the time
        connection.sendall(encode_request(Suspend(file)).encode() + b"\n")
        data = b""
        while not data.endswith(b"\n") and len(data) < MAX_REPLY:
            more = connection.recv(65536)
            if not more:
                raise SystemFailure("the sandbox ended before the archive was complete")
            data += more
    return decode_reply(data.decode(errors="replace"))


def _tell(reply: Reply) -> int:
    """Prints a reply on stderr, because stdout may be the archive. It may contain names that the agent chose."""
    lines = [f"codetainer: {reply.text}", *([f"  {reply.hint}"] if reply.hint else [])]
    sys.stderr.write("".join((line if line.isprintable() else ascii(line)) + "\n" for line in lines))
    return 0 if reply.ok else 1


def _from_outside(init: int, file: Path | None) -> int:
    inside = Command(init, [str(Paths().python), "-I", "-m", "backend", "suspend"], ROOT, environment_for(ROOT, init), "/")
    if file is None:
        return relay.run(inside)
    if file.is_dir():
        raise SystemFailure(f"cannot suspend to {file}: it is a folder")
    with replacing(file.absolute()) as out:
        os.dup2(out, 1)
        code = relay.run(inside)
        if code != 0:
            raise SystemFailure(f"{file} is as it was" if file.exists() else f"{file} was not written")
        try:
            archive.require_complete(out)  # the sandbox may have been killed; its checksum is compared when it is resumed
        except Unreadable as error:
            raise SystemFailure(f"cannot suspend to {file}: {error}") from error
    return 0

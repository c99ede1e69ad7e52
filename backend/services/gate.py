"""Supervises the gate: starts HAProxy, keeps its lists equal to the allowlist, reads its log and its tables.

HAProxy starts as root, reads its configuration and changes to uid gate in an empty chroot. The supervisor creates its sockets
under the gate's fsuid, because the firewall matches the uid that opened a socket (backend/system.py).
Length: the service, its certificates and its lists share the admin socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from backend import system
from backend.contract.events import Carried, Event, Refused
from backend.contract.paths import Paths
from backend.services.gate_log import GateLog
from backend.services.service import Service
from backend.services.traffic import TrafficLog
from backend.services.trust import Trust
from backend.system import GATE, READER, Identity, SystemFailure
from network import grant
from network.allowlist import Allowlist
from network.firewall.ruleset import GATE_ADDRESS, GATE_HTTP_PORT, GATE_TLS_PORT
from network.gate import grants, haproxy, updates
from network.gate.credential_proxy import CredentialProxy
from network.gate.credentials import Host
from network.gate.haproxy import Places

if TYPE_CHECKING:
    from network.gate.learning import LearningProxy

TEMPLATE = haproxy.TEMPLATE.read_text(encoding="utf-8")
ASK_SECONDS = 5.0
BATCH = 40  # commands that fit into one line of the admin socket
MAX_REPORTED = 256  # names per call of `take_carried`
MAX_NAMES = 4096  # names whose totals are kept: the agent can use any number of names below a wildcard
INNER = "credential-proxy.sock"
ASKS = "asks.sock"
LEARNING = "learning.sock"  # for TLS and for plain HTTP, to names that a learning run has opened
LEARNING_HTTP = "learning-http.sock"
READER_SOCKET = "reader.sock"  # from the first half to the reader
ONWARD = "onward.sock"  # from the reader (backend/services/reader.py) to the second half
BACKLOG = 4096
# HAProxy needs these capabilities to give up root, and has none afterwards.
_STARTING = [
    "setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all,+setuid,+setgid,+sys_chroot", "--clear-groups", "--",
]  # fmt: skip


class Gate:
    """The service, its lists, and the traffic that it has carried."""

    def __init__(self, paths: Paths, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._places = Places(paths.gate)
        self.trust = Trust(paths, self._places)
        self.log = GateLog(emit, TrafficLog(paths.traffic))
        self.service = Service("gate", self._spawn, self._ready, emit)
        self.allowlist = Allowlist()
        self.much_out = 1 << 63  # the upload alert: bytes sent to one name
        self.proxy: CredentialProxy | None = None  # contains the credentials
        self.learns = False  # this is a learning run
        self._installed: set[str] = set()  # names whose certificates the running gate has
        self._loaded: dict[str, tuple[str, ...]] = {}  # the lines of its lists and maps, without those that are unknown
        self._carried: dict[str, Carried] = {}
        self._usage: dict[str, haproxy.Usage] = {}  # HAProxy's table at the last call, by name and port
        self._before: dict[str, haproxy.Usage] = {}  # by name: totals that HAProxy's table no longer contains

    # --- start and certificates ---

    async def _spawn(self) -> asyncio.subprocess.Process:
        await self._certify(self.allowlist)
        self._installed = set(self.trust.names)
        with contextlib.ExitStack() as opened:
            tls, http = (opened.enter_context(_listening(port)) for port in (GATE_TLS_PORT, GATE_HTTP_PORT))
            descriptors, proxy = [tls.fileno(), http.fileno()], self.proxy
            if proxy is not None:
                inner, asks = (opened.enter_context(self.socket(name, GATE)).fileno() for name in (INNER, ASKS))
                onward = opened.enter_context(self.socket(ONWARD, READER)).fileno()
                log = await self.log.pipe(opened)
                proxy = replace(proxy, descriptor=inner, asks_descriptor=asks, onward_descriptor=onward, log_descriptor=log)
                descriptors += [inner, asks, onward, log]
            learns = await self._learning_proxy(opened) if self.learns else None
            if learns is not None:
                descriptors += [learns.descriptor, learns.http_descriptor, learns.log_descriptor]
            self._loaded = self._write_lists()
            system.write(self._places.reasons, haproxy.words_in_lua(proxy), mode=0o600)
            text = haproxy.render(TEMPLATE, self._places, (tls.fileno(), http.fileno()), GATE.uid, proxy, learns)
            system.write(self._places.configuration, text, mode=0o600)
            process = await system.spawn(
                [*_STARTING, "haproxy", "-db", "-f", str(self._places.configuration)], environment={"PATH": system.SYSTEM_PATH},
                stdout=await self.log.pipe(opened), stderr=asyncio.subprocess.STDOUT, pass_fds=descriptors,
            )  # fmt: skip
        self._keep({})
        return process

    async def _learning_proxy(self, opened: contextlib.ExitStack) -> LearningProxy:
        """Opens the sockets and the log of the part for names that a learning run has opened."""
        from network.gate.learning import LearningProxy  # only learning runs need it

        tls, http = (opened.enter_context(self.socket(name, GATE)).fileno() for name in (LEARNING, LEARNING_HTTP))
        places = self._places
        return LearningProxy(
            places.certificate_list, places.authorities, places.map("exact"), places.map("exact_http"), f"/{LEARNING}",
            f"/{LEARNING_HTTP}", tls, http, await self.log.pipe_of_learning(opened),
        )  # fmt: skip

    async def prepare(self, hosts: tuple[Host, ...], secrets: Mapping[str, str], repositories: tuple[str, ...]) -> int:
        """Prepares TLS termination, and the hosts that have a credential; returns their number. Raises SystemFailure.

        The certificates are made when the gate starts, because the allowlist names further hosts.
        """
        self.make_folders()
        terminated = tuple(host for host in hosts if any(c.variable in secrets for c in host.credentials))
        if not self.trust.begun:
            await self.trust.prepare()
        places = self._places
        self.proxy = CredentialProxy(
            terminated, secrets, repositories, places.certificate_list, places.authorities, places.map("exact"),
            places.map("below"), places.granted, f"/{INNER}", f"/{ASKS}", f"/{READER_SOCKET}",
        )  # fmt: skip
        return len(terminated)

    async def _certify(self, allowlist: Allowlist) -> None:
        """Makes the certificates that are missing for an allowlist. Raises SystemFailure."""
        if self.proxy is None:
            return
        names = tuple(dict.fromkeys((*(host.name for host in self.proxy.hosts), *grants.opened(allowlist))))
        if not self.trust.begun:
            await self.trust.begin(names)
        elif missing := self.trust.missing(names):
            await self.trust.add(missing)
        if missing := self.trust.missing(grants.recorded(allowlist)):
            await self.trust.sign(missing)

    async def _install(self) -> None:
        """Hands the certificates to the running gate that it has not read at its start. Raises SystemFailure."""
        for name in self.trust.missing_in(self._installed):
            file = self._places.certificate(name)
            await self.ask(f"new ssl cert {file}")
            await self._replace_certificate(str(file), file.read_text(encoding="ascii"))
            line = haproxy.certificate_line(self._places, name)
            (answer,) = await self.ask(f"add ssl crt-list {self._places.certificate_list} <<\n{line}\n")
            if "Success" not in answer and "already exists" not in answer:
                raise SystemFailure(f"cannot add a certificate for {name} to the gate: {answer.strip()[:200]}")
            self._installed.add(name)

    async def _replace_certificate(self, file: str, leaf: str) -> None:
        """Replaces a certificate of the running gate. Raises SystemFailure."""
        await self.ask(f"set ssl cert {file} <<\n{leaf.strip()}\n")
        (answer,) = await self.ask(f"commit ssl cert {file}")
        if "Success" not in answer:
            raise SystemFailure(f"cannot renew the gate's certificates: {answer.strip()[:200]}")

    async def end_signer(self) -> None:
        """Ends the process that signs certificates in a learning run."""
        if self.trust.signer is not None:
            await self.trust.signer.end()

    async def renew(self) -> None:
        """Renews the certificates without a reload, so open connections survive. Raises SystemFailure."""
        for file, leaf in (await self.trust.renew()).items():
            await self._replace_certificate(file, leaf)
        self.trust.in_use()

    def socket(self, name: str, client: Identity) -> socket.socket:
        """Opens a socket between two parts of the gate, to which only this client can connect."""
        path = self._places.root / name
        path.unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(str(path))
        path.chmod(0o600)
        os.chown(path, client.uid, client.uid)
        sock.listen(BACKLOG)
        return sock

    @property
    def root(self) -> Path:
        """The folder of these sockets."""
        return self._places.root

    def make_folders(self) -> None:
        self._places.folder.mkdir(mode=0o700, exist_ok=True)
        self._places.root.mkdir(mode=0o755, exist_ok=True)

    def _write_lists(self) -> dict[str, tuple[str, ...]]:
        """Writes the lists and maps for the next start; returns their lines."""
        self.make_folders()
        # The patterns first: a key without patterns grants nothing.
        lines = {
            grants.PATTERNS: grants.patterns(self.allowlist), **haproxy.names(self.allowlist), **grants.maps(self.allowlist),
        }  # fmt: skip
        for name, each in lines.items():
            system.write(self._file(name)[1], "".join(f"{line}\n" for line in each), mode=0o600)
        return lines

    def _file(self, name: str) -> tuple[str, Path]:
        """HAProxy's kind and the file of a list or map."""
        return ("map", self._places.map(name)) if name in grants.MAPS else ("acl", self._places.list(name))

    async def _ready(self) -> None:
        while True:
            with contextlib.suppress(SystemFailure):
                await self.ask("show version")
                return
            await asyncio.sleep(0.02)

    # --- lists ---

    async def change(self, allowlist: Allowlist) -> None:
        """Changes the allowlist without a reload; closes connections that it permits no longer, or with another grant.

        Raises SystemFailure.
        """
        before, self.allowlist = self.allowlist, allowlist
        lines = self._write_lists()
        if not self.service.pid:
            return
        await self._certify(allowlist)
        await self._install()
        await self._load(lines)
        await self._close_changed(before, allowlist)

    async def _load(self, lines: Mapping[str, tuple[str, ...]]) -> None:
        """Gives lists and maps to the running gate in this order, if possible only their changes. Raises SystemFailure."""
        loaded, self._loaded = self._loaded, {}  # if this fails, they are unknown
        waiting: list[str] = []
        for name, each in lines.items():
            kind, file = self._file(name)
            changes = None
            if name in loaded:
                changes = updates.commands(kind, str(file), loaded[name], each, suffixes=name.startswith("below"))
            if changes is None:
                await self._perform(waiting)
                waiting = []
                await self._replace(kind, file, each)
            else:
                waiting += changes
        await self._perform(waiting)
        self._loaded = dict(lines)

    async def _replace(self, kind: str, file: Path, lines: tuple[str, ...]) -> None:
        """Replaces the content of a list or map atomically: prepares a version, fills it, commits it."""
        (answer,) = await self.ask(f"prepare {kind} {file}")
        version = answer.rpartition(":")[2].strip()
        if not version.isdigit():
            raise SystemFailure(f"cannot change the gate's allowlist: {answer.strip()}")
        await self._perform([*(f"add {kind} @{version} {file} {line}" for line in lines), f"commit {kind} @{version} {file}"])

    async def _perform(self, commands: list[str]) -> None:
        """Sends commands that answer nothing if they succeed. Raises SystemFailure."""
        for begin in range(0, len(commands), BATCH):
            for answer in await self.ask(*commands[begin : begin + BATCH]):
                if answer.strip():
                    raise SystemFailure(f"cannot change the gate's allowlist: {answer.strip()}")

    async def _close_changed(self, before: Allowlist, now: Allowlist) -> None:
        """Closes open connections to names that are no longer allowed, or that now have another grant."""
        (table,) = await self.ask("show table connections data.conn_cur gt 0")
        gone = set()
        for ticket in haproxy.parse_table(table):
            key, _, source_port = ticket.rpartition("/")
            granted, was = grants.of_key(now, key), grants.of_key(before, key)
            # If a client refuses the gate's certificate, the connections of others that accept it may stay.
            widened = (was, granted) == (grant.RECORDED, grant.ANYTHING)
            if source_port.isdigit() and (granted is None or granted != was) and not widened:
                gone.add(int(source_port))
        if gone:
            (sessions,) = await self.ask("show sess")
            for port, identity in haproxy.parse_sessions(sessions).items():
                if port in gone:
                    await self.ask(f"shutdown session {identity}")

    # --- traffic ---

    def take_refused(self) -> list[Refused]:
        """Returns the refusals since the last call."""
        return self.log.take()

    async def take_lost(self) -> list[Refused]:
        """Returns the log lines that HAProxy has dropped since the last call. Raises SystemFailure."""
        (info,) = await self.ask("show info")
        return self.log.lost(info)

    async def take_carried(self) -> list[Carried]:
        """Returns the names whose totals have changed, at most MAX_REPORTED per call. Raises SystemFailure."""
        (answer,) = await self.ask("show table names")
        table = haproxy.parse_table(answer)
        self._keep(table)
        by_name: dict[str, list[haproxy.Usage]] = {}
        for key, usage in table.items():
            name = key.rpartition(":")[0]
            by_name.setdefault(name, [self._before[name]] if name in self._before else []).append(usage)
        changed, ours = [], {host.name for host in self.proxy.hosts} if self.proxy else set()
        for name, usages in sorted(by_name.items(), key=self._last_reported):
            before = self._carried.get(name)
            now = Carried(
                name, sum(u.connections for u in usages), sum(u.open_now for u in usages), sum(u.bytes_in for u in usages),
                sum(u.bytes_out for u in usages), before.last_at if before else 0.0, name in ours,
            )  # fmt: skip
            if now.bytes_out > max(self.much_out, now.bytes_in):
                now = replace(now, marked="large upload")
            if now != before:
                now = replace(now, last_at=round(time.time(), 1))
                self._carried.pop(name, None)
                self._carried[name] = now  # moves it to the end
                if len(self._carried) > MAX_NAMES:
                    oldest = next(iter(self._carried))
                    del self._carried[oldest]
                    self._before.pop(oldest, None)
                changed.append(now)
                if len(changed) == MAX_REPORTED:
                    break
        return changed

    def _keep(self, table: Mapping[str, haproxy.Usage]) -> None:
        """Adds the totals that a new table has lost: all of them after a restart, otherwise those of evicted names."""
        for key, last in self._usage.items():
            name, now = key.rpartition(":")[0], table.get(key)
            if name in self._carried and (now is None or now.connections < last.connections):
                before = self._before.get(name, haproxy.Usage(0, 0, 0, 0))
                self._before[name] = haproxy.Usage(
                    before.connections + last.connections, 0, before.bytes_in + last.bytes_in, before.bytes_out + last.bytes_out
                )
        self._usage = dict(table)

    def _last_reported(self, item: tuple[str, object]) -> float:
        carried = self._carried.get(item[0])
        return carried.last_at if carried else 0.0

    async def ask(self, *commands: str) -> list[str]:
        """Sends commands to the admin socket; returns one answer for each. Raises SystemFailure."""
        try:
            async with asyncio.timeout(ASK_SECONDS):
                reader, writer = await asyncio.open_unix_connection(str(self._places.admin))
                with contextlib.closing(writer):
                    writer.write(("; ".join(commands) + "\n").encode())
                    answer = (await reader.read()).decode(errors="replace")
        except (OSError, TimeoutError) as error:
            raise SystemFailure(f"cannot ask the gate: {error or 'no answer in time'}") from error
        if len(commands) == 1:
            return [answer]
        return answer.split("\n\n")


def _listening(port: int) -> socket.socket:
    sock = system.socket_of(GATE, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((GATE_ADDRESS, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock

"""A sandbox that sends notifications, and the service that receives them, in the network of the pretend internet."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from backend.contract.events import BootFinished, NotificationsMeasured
from tests.netns.notification_service import MAIL_PORT, PASSWORD, USER, WEB_PORT
from tests.netns.sandbox import INTERNET, Running, eventually, start

ADDRESS = "198.51.100.77"
HOOK = "hook-secret-4c1d9e"
BEARER = "bearer-secret-81b2f0"
NTFY_TOKEN = "tk_ntfysecret93d7a2"
TOPIC = "night-4711-topic"
SECRETS = (HOOK, BEARER, NTFY_TOKEN, PASSWORD.decode(), TOPIC)
WEBHOOK = f"jsons://hook.test:{WEB_PORT}/{HOOK}?+Authorization=Bearer%20{BEARER}"
NOTIFY = (
    f"{WEBHOOK}"
    f" ntfys://{NTFY_TOKEN}@hook.test:{WEB_PORT}/{TOPIC}"
    f" mailtos://{USER.decode()}:{PASSWORD.decode()}@mail.test:{MAIL_PORT}?from=box@mail.test&to=you@mail.test"
)
LISTED = "github.com\napi.github.com\napi.anthropic.com\n"  # without names that resolve to a private address, a serious refusal
METADATA = "169.254.169.254"


@dataclass
class Service:
    """The notification service, and the sandbox that uses it."""

    sandbox: Running
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Starts the service in the network namespace of the pretend internet."""
        into = outside(self.sandbox)
        argv = [*into, sys.executable, str(Path(__file__).with_name("notification_service.py")), str(self.folder), ADDRESS]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"serving\n"

    def end(self) -> None:
        if self.process is not None:
            with self.process:
                self.process.kill()
            self.process = None

    def answers(self, mode: str) -> None:
        new = self.folder / "mode.new"
        new.write_text(mode)
        new.rename(self.folder / "mode")

    def received(self, **values: str) -> list[Mapping[str, Any]]:
        text = (self.folder / "received.jsonl").read_text() if (self.folder / "received.jsonl").exists() else ""
        lines = [json.loads(line) for line in text.splitlines()]
        return [line for line in lines if all(line.get(key) == value for key, value in values.items())]

    def notifications(self) -> list[Mapping[str, Any]]:
        """The notifications that the webhook has accepted."""
        return [json.loads(line["body"]) for line in self.received(path=f"/{HOOK}", mode="ok")]

    def saying(self, *words: str) -> list[Mapping[str, Any]]:
        return [one for one in self.notifications() if all(word in one["title"] + one["message"] for word in words)]


def outside(sandbox: Running) -> list[str]:
    """A command prefix that runs a program in the network namespace of the sandbox's pretend internet."""
    ours = {Path("/proc/self/ns/net").stat().st_ino, Path(f"/proc/{sandbox.init}/ns/net").stat().st_ino}

    def namespace() -> Path | None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(sandbox.process.pid).children(recursive=True):
                with contextlib.suppress(OSError):
                    if (net := Path(f"/proc/{process.pid}/ns/net")).stat().st_ino not in ours:
                        return net
        return None

    return ["nsenter", f"--net={eventually('there is a pretend internet', namespace)}"]


def with_service(internet: str, folder: Path) -> str:
    """Adds the service's names to a description of a pretend internet."""
    names = "".join(
        f'  {{ name = "{name}", addresses = ["{ADDRESS}"], certificate = "{folder}/{name}.pem" }},\n'
        for name in ("hook.test", "mail.test")
    )
    names += '  { name = "lan.test", addresses = ["127.0.0.1"] },\n'
    return internet.replace("name = [\n", f"name = [\n{names}")


def begin(folder: Path, name: str, *options: str, internet: str = INTERNET, **environment: str) -> Service:
    """Starts a sandbox, and the service as soon as its certificates exist; boot does not wait for it."""
    sandbox = start(
        folder, f"{name}-{os.getpid()}", *options, internet=with_service(internet, folder), listed=LISTED,
        until_released=False, **environment,
    )  # fmt: skip
    service = Service(sandbox, folder)
    service.answers("ok")
    eventually("the certificates exist", lambda: all((folder / f"{name}.test.pem").exists() for name in ("hook", "mail")))
    service.begin()
    eventually("boot has ended", lambda: sandbox.paths.journal.exists() and sandbox.events(BootFinished))
    return service


def measured(service: Service) -> NotificationsMeasured:
    return service.sandbox.state.notifications or NotificationsMeasured(0)


def sent(service: Service) -> None:
    """Waits until nothing waits for delivery."""
    eventually("all is delivered", lambda: measured(service).delivered and not measured(service).waiting)


def uid(process: psutil.Process) -> int:
    try:
        return Path(f"/proc/{process.pid}").stat().st_uid
    except OSError:
        return -1

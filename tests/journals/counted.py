"""A tally in which every family of /metrics has samples: for the tests of the exposition, and for its documentation."""

from __future__ import annotations

from backend.contract import events as e
from codetainer_tui.metrics.tally import Tally

EVENTS: tuple[e.Event, ...] = (
    e.BootStarted("0.1.0", (e.PlannedStep("closed", "Network closed"),), "octo/repo", gate=True),
    e.StepFinished("closed", e.Outcome.DONE, 0.1),
    e.ServiceChanged("coredns", e.ServiceState.UP, 7),
    e.ServiceChanged("gate", e.ServiceState.DOWN, 0),
    e.ServiceChanged("gate", e.ServiceState.STARTING, 0, 1),
    e.NamesMeasured(100, 90, 4, 1.5),
    e.ListMeasured(23, 61, 5.0, 9.0, {"gone.example": 4.0}),
    e.SandboxMeasured(150, 1 << 30, 4 << 30, {"/tmp": (1 << 20, 512 << 20)}, inodes={"/tmp": (300, 131072)}),
    e.ProofFinished(2, (), "", {"unlisted name": "", "root read-only": ""}),
    e.Refused(e.Via.DNS, e.Reason.NOT_LISTED, 3, "dns", "telemetry.example"),
    e.CookiesDropped("github.com", 2),
    e.Carried("api.example", 5, 2, 1000, 300, 8.0),
    e.NotificationsMeasured(2, 5, 7.0, 1, {"address 1 (ntfys)": "the connection was refused"}, 8.0),
    e.Allowed("files.example", until=99.0),
    e.SessionChanged(e.SessionState.WAITS, "work", 6.0, "Opus", 42.0, 1.2, "main"),
    e.WorkCounted((e.RepositoryWork("/workspace/repo", "main", 3, 2, 1, 1),)),
    e.WorkSaved("wip/work", "abc"),
    e.WorkSuspended("/volume/work-00000001.tar", 3 << 20, 40, 1.5),
    e.BootFinished(e.BootState.READY, 4.2),
    e.JournalSealed(3, f"40-{'a' * 32}", f"7-{'b' * 32}", "c" * 64, "d" * 128),
)


def tally() -> Tally:
    found = Tally()
    found.add(e.Stamped(float(at), at, event) for at, event in enumerate(EVENTS, 1))
    return found

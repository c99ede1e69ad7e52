"""The text of each event."""

import pytest
from hypothesis import given

from backend.contract import events as e
from backend.contract.events import BootState, Outcome, Reason, Refused, ServiceState, SessionState, Via
from codetainer_tui.plain import Lines
from tests.journals.make import JOURNALS, text
from tests.unit.contract.test_events import ANY_EVENT

WORK = e.RepositoryWork("/workspace/repo", "main", commits=2, files=1, untracked=2, stashes=1)
AMOUNTS = "2 commits not pushed, 3 files not committed, 1 stash"
CASES = [
    (
        e.WorkSuspended("/volume/work-00000001.tar", 3 << 20, 40, 1.25, ("/tmp/s: a socket",), 2),
        "all work written to /volume/work-00000001.tar: 40 files, 3.0 MB in 1.2 s; left out: /tmp/s: a socket; and 2 more",
    ),
    (
        e.WorkSuspended("stdout", 1024, 1, 0.5, stood_still=False),
        "all work written to stdout: 1 file, 1.0 kB in 0.5 s; the agent could not be stopped meanwhile",
    ),
    (e.WorkSuspended("/volume", problem="full\n"), "warning: cannot write all work to /volume: full\\n"),
    (
        e.WorkResumed(43200.0, 40, ("/x: a socket",)),
        "resumed the work of 1970-01-01 UTC 12:00:00: 40 files; left out: /x: a socket",
    ),
    (e.JournalSealed(0, "1-a", "", "c0ffee"), "journal: the key of its seals is c0ffee"),
    (e.JournalSealed(1, "9-b", "", "c0ffee", "5ea1"), ""),
    (e.JournalSealed(2, "12-c", "", "c0ffee", "5ea1", last=True), "journal: last seal, after line 12-c"),
    (e.BootStarted("0.1.0", (e.PlannedStep("a", "A"),), "octo/repo"), "boot started for octo/repo: 1 step, codetainer 0.1.0"),
    (
        e.NotificationsMeasured(2, failing={"address 1 (ntfys)": "the connection was refused"}),
        "warning: notifications are not delivered: address 1 (ntfys): the connection was refused",
    ),
    (e.NotificationsMeasured(2, 1), ""),
    (e.StepStarted("names"), "DNS (CoreDNS) ..."),
    (e.StepOutput("names", "hello\x1b[31m"), "DNS (CoreDNS): hello\\x1b[31m"),
    (e.StepOutput("clone", "Receiving objects:  62% (806/1300)"), ""),
    (e.StepOutput("clone", "Receiving objects: 100% (6/6), done."), "clone: Receiving objects: 100% (6/6), done."),
    (e.StepFinished("names", Outcome.DONE, 0.42, "23 names"), "DNS (CoreDNS): done in 0.4 s, 23 names"),
    (
        e.StepFinished("names", Outcome.FAILED, 61, "no port", "Free it."),
        "DNS (CoreDNS): FAILED in 61 s, no port. Free it.",
    ),
    (e.StepFinished("names", Outcome.SKIPPED, 0), "DNS (CoreDNS): not needed"),
    (e.StepFinished("names", Outcome.CANCELLED, 0, "not started"), "DNS (CoreDNS): not run, not started"),
    (
        e.SshOpened(2222, 1, "ssh-ed25519 AAAA", "SHA256:abc"),
        "ssh: port 2222, 1 key may log in as root, host key SHA256:abc",
    ),
    (e.BootFinished(BootState.READY, 4.3), "READY after 4.3 s"),
    (e.BootFinished(BootState.DEGRADED, 4.3, "names", "slow"), "DEGRADED after 4.3 s because of DNS (CoreDNS): slow"),
    (
        e.BootFinished(BootState.HALTED, 4, "names", "no port", "Free it."),
        "CLOSED, halted at DNS (CoreDNS): no port. Free it.",
    ),
    (e.LockReleased(True), "boot finished, session ready"),
    (e.LockReleased(False), "boot finished, no session"),
    (e.Stopping("SIGTERM"), "the sandbox is stopping: SIGTERM"),
    (e.ServiceChanged("guard", ServiceState.DOWN, 0, 2, "killed"), "guard is down, restarted 2 times: killed"),
    (e.ServiceChanged("coredns", ServiceState.UP, 40), "coredns is up (pid 40)"),
    (e.NamesMeasured(1, 1, 1, 1.0), ""),
    (e.ListMeasured(23, 61), ""),
    (e.ListMeasured(23, 60, failing={"a.example": 1.0}), "warning: no address found for a.example"),
    (e.ProofFinished(9), "self-test passed: 9 checks"),
    (e.ProofFinished(9, ("the firewall",), "Fix it."), "self-test FAILED: the firewall. Fix it."),
    (
        e.ProtectionFailed("192.0.2.1:443 was answered", "Run it."),
        "CLOSED, protection failed at 00:00: 192.0.2.1:443 was answered; everything is closed. Run it.",
    ),
    (e.Noted("info", "hello"), "hello"),
    (e.Noted("warning", "careful"), "warning: careful"),
    (Refused(Via.DNS, Reason.NOT_LISTED, 1, "dns", "a.example"), "refused a.example: not on the allowlist"),
    (
        Refused(Via.DNS, Reason.NOT_LISTED, 3, "dns", "a.example", detail="TXT", program="dig"),
        "refused a.example  TXT: not on the allowlist, by dig (3 times)",
    ),
    (Refused(Via.FIREWALL, Reason.NEVER_RESOLVED, 1, "tcp", "", "192.0.2.1", 22), "refused 192.0.2.1:22: no DNS lookup"),
    (Refused(Via.FIREWALL, Reason.NOT_TCP, 1, "udp", "", "192.0.2.1", 53), "refused 192.0.2.1:53  udp: only TCP is allowed"),
    (
        Refused(Via.GATE, Reason.PUSH_SCOPE, 1, "tcp", "github.com", "192.0.2.1", 443, detail="push to other/repo"),
        "SERIOUS refused github.com  push to other/repo: outside the writable repositories",
    ),
    (e.ListRead(("a.example",)), ""),
    (e.Acknowledged(43200.0, "", "root"), "acknowledged all serious refusals up to 12:00:00, by root"),
    (e.Acknowledged(43200.0, "gate x"), "acknowledged one kind of serious refusal up to 12:00:00"),
    (e.Withdrawn("a.example", "root", "8443"), "closed a.example ports 8443, by root"),
    (
        e.Withdrawn("a.example", "its time was up", "", "443, 80 by a.example (domains.conf:2)"),
        "revoked a.example: its time was up; still open: 443, 80 by a.example (domains.conf:2)",
    ),
    (Refused(Via.FIREWALL, Reason.IPV6, 1, "tcp", "", "2001:db8::1", 443), "refused [2001:db8::1]:443: IPv6 is not allowed"),
    (
        e.Wrote("github.com", "push to octo/repo: work", "https://github.com/octo/repo/tree/work", 2),
        "wrote: push to octo/repo: work (2 times), see https://github.com/octo/repo/tree/work",
    ),
    (e.CookiesDropped("github.com"), "dropped cookies from 1 request to github.com: this sandbox never received any"),
    (e.CookiesDropped("a.test\n", 3), "dropped cookies from 3 requests to a.test\\n: this sandbox never received any"),
    (e.Allowed("a.example", "8443", 0.0, "root"), "allowed a.example ports 8443 until you close it, by root"),
    (e.Allowed("a.example", until=3600.0), "allowed a.example until 01:00"),
    (e.Withdrawn("a.example", "its time was up"), "closed a.example: its time was up"),
    (e.Learned("new.example", "", ("curl",)), "LEARNING RUN: opened new.example, by curl"),
    (
        e.Learned("new.example", "new.example:443 open", ("x\x1b[2J",), "answered", "why"),
        "LEARNING RUN: learned new.example:443 open, because of why, by x\\x1b[2J",
    ),
    (e.Learned("new.example", "", (), "closed"), "LEARNING RUN: closed new.example"),
    (e.ModelUsed(3, 10, limits=("3 of 5 calls",)), ""),
    (
        e.BudgetChanged(e.BudgetLevel.USED_UP, "5 of 5 calls"),
        "the model's budget is used up: calls are refused, 5 of 5 calls",
    ),
    (e.BudgetChanged(e.BudgetLevel.WARNED, "4 of 5 calls"), "the model's budget is nearly used up, 4 of 5 calls"),
    (e.BudgetChanged(e.BudgetLevel.FINE), "the model's budget is no longer used up"),
    (e.BudgetRaised("5 calls", "root"), "the model's budget was raised by 5 calls, by root"),
    (e.Muted("a.example"), "muted a.example until unmuted"),
    (e.Muted("a.example", -1), "unmuted a.example"),
    (e.Froze(True, "root"), "FROZEN, by root"),
    (e.Froze(False), "thawed"),
    (e.SessionChanged(SessionState.WAITS, "claude"), "session claude: the agent is waiting for you"),
    (
        e.SessionChanged(SessionState.ASKS, "claude", screen=("Allow?\x1b", "1. Yes")),
        "session claude: Claude is asking something before it begins; its screen, in the agent's words: Allow?\\x1b | 1. Yes",
    ),
    (e.SessionMeasured(SessionState.WORKS), "session: the agent is working"),
    (
        e.SessionMeasured(SessionState.LIMITED, 0.0, 9000.0, "429", detail="five-hour limit"),
        "session: at a usage limit until 02:30 (in 2 h 30 min): five-hour limit",
    ),
    (e.SessionResumed(1, 60.0), "session: told Claude to continue; if no call passes, again at 00:01:00"),
    (
        e.SessionResumed(2, 60.0, "somebody\ntypes"),
        "session: could not tell Claude to continue: somebody\\ntypes (try 2); if no call passes, again at 00:01:00",
    ),
    (e.AgentSettings(("one\x07", "two")), "Claude Code's settings: one\\x07; two"),
    (e.AgentSettings(), "Claude Code's settings: no problems"),
    (e.WorkCounted((WORK,)), ""),
    (
        e.WorkCounted((WORK,), e.Occasion.SESSION_ENDED),
        f"unsaved work: /workspace/repo: {AMOUNTS}. Run codetainer export > work.bundle to keep it.",
    ),
    (
        e.WorkCounted((WORK, e.RepositoryWork("/workspace/x", notes=("a\nb",))), e.Occasion.STOPPING),
        f"unsaved work: /workspace/repo: {AMOUNTS}; /workspace/x: not fully known: a\\nb (saves contain only /workspace/repo)",
    ),
    (e.WorkCounted((e.RepositoryWork("/workspace/repo"),), e.Occasion.STOPPING), "no unsaved work"),
    (e.WorkCounted((), e.Occasion.STOPPING), ""),
    (
        e.WorkCounted((e.RepositoryWork("/workspace/repo"),), e.Occasion.STOPPING, "git does\nnot end"),
        "unsaved work is not fully known: cannot be counted: git does\\nnot end",
    ),
    (
        e.WorkCounted((), e.Occasion.SESSION_ENDED, "no"),
        "unsaved work is not fully known: cannot be counted: no. Run codetainer export > work.bundle to keep it.",
    ),
    (
        e.WorkCounted((WORK, e.RepositoryWork("/workspace/x y", commits=1)), e.Occasion.HALTED),
        (
            f"unsaved work: /workspace/repo: {AMOUNTS}; /workspace/x y: 1 commit not pushed. "
            "Run codetainer export > work.bundle and codetainer export 'x y' > 'x y.bundle' to keep it."
        ),
    ),
    (e.WorkRecounted(), ""),
    (e.WorkSaved("wip/x", "0123456789abcdef"), "saved /workspace/repo to wip/x (0123456789ab)"),
    (e.WorkSaved("wip/x", "0123456789abcdef", ("big",)), "saved /workspace/repo to wip/x (0123456789ab), left out: big"),
    (e.WorkSaved("wip/x", problem="no route"), "warning: cannot save /workspace/repo to wip/x: no route"),
    (
        e.SaveSkipped(covered=True),
        (
            "warning: unpushed work is lost when this sandbox stops: "
            "CODETAINER_AUTOSAVE=exit would have saved /workspace/repo to wip/..."
        ),
    ),
    (e.SaveSkipped(), "warning: unpushed work is lost when this sandbox stops"),
    (e.SaveSkipped(by_operator=True, covered=True), "the sandbox stops without a save, as the operator decided"),
    (e.Snapshot({}), ""),
    (e.Unknown("moon.rose"), ""),
]


@pytest.mark.parametrize(("event", "words"), CASES, ids=lambda value: value.kind if isinstance(value, e.Event) else "")
def test_the_text_of_each_event(event: e.Event, words: str) -> None:
    lines = Lines()
    lines.text(e.BootStarted("0.1.0", (e.PlannedStep("names", "DNS (CoreDNS)"),), "octo/repo"), 0)
    assert lines.text(event, 0) == words


def test_a_save_names_the_repositories_that_it_does_not_contain() -> None:
    lines = Lines()
    lines.text(e.WorkCounted((WORK, e.RepositoryWork("/workspace/second", commits=1))), 0)
    assert lines.text(e.WorkSaved("wip/x", "0123456789abcdef"), 0) == (
        "saved /workspace/repo to wip/x (0123456789ab); not saved: /workspace/second (codetainer export second > second.bundle)"
    )


def test_a_save_to_the_pretend_internet_is_not_called_a_rescue() -> None:
    lines = Lines()
    lines.text(e.BootStarted("0.1.0", (), "octo/repo", pretend=True), 0)
    assert lines.text(e.WorkSaved("wip/x", "0123456789abcdef"), 0) == (
        "saved /workspace/repo to wip/x (0123456789ab) of the pretend internet, which ends with this sandbox"
    )


def test_every_kind_of_event_has_a_case() -> None:
    assert {event.kind for event, _ in CASES} == {*e.KINDS, "unknown"} - {"sandbox.measured", "carried"}


@given(ANY_EVENT)
def test_a_line_is_one_printable_line(event: e.Event) -> None:
    assert Lines().text(event, 1.0).isprintable()


def test_a_new_day_has_a_line_of_its_own() -> None:
    lines = Lines()
    output = [line for at in (0.0, 1.0, 86400.0) for line in lines.of(e.Stamped(at, 1, e.Noted("info", "x")))]
    assert output == ["-------- 1970-01-01 UTC", "00:00:00 x", "00:00:01 x", "-------- 1970-01-02 UTC", "00:00:00 x"]


def test_changes_of_failing_names_are_logged_once() -> None:
    lines = Lines()
    failing = e.ListMeasured(2, 1, failing={"a.example": 1.0})
    output = [lines.text(event, 0) for event in (failing, failing, e.ListMeasured(2, 2), e.ListMeasured(2, 2))]
    assert output == ["warning: no address found for a.example", "", "addresses found again for a.example", ""]


def test_changes_of_failing_notifications_are_logged_once() -> None:
    lines = Lines()
    failing = e.NotificationsMeasured(1, failing={"address 1 (ntfys)": "the service failed (HTTP 5xx)"})
    output = [
        lines.text(event, 0) for event in (failing, failing, e.NotificationsMeasured(1, 2), e.NotificationsMeasured(1, 3))
    ]
    words = "warning: notifications are not delivered: address 1 (ntfys): the service failed (HTTP 5xx)"
    assert output == [words, "", "notifications are delivered again", ""]


def test_hostile_text_is_escaped() -> None:
    lines = Lines()
    output = [line for row in text(JOURNALS["attacked"]()).splitlines() for line in lines.of(e.decode(row))]
    assert all(line.isprintable() for line in output)
    assert any("\\x1b]0;owned\\x07" in line for line in output)

"""The sender without a network: the library accepts every kind of address as rewritten, and errors have their outcome."""

from __future__ import annotations

import importlib
import io
import smtplib
import ssl
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from backend.guard.upstream import Upstreams
from backend.notify import protocol, sender
from backend.notify.protocol import Outcome
from backend.notify.sender import Stopped
from network.destinations import Library
from network.service_addresses import parse
from tests.unit.network.test_service_addresses import GOOD


def order(text: str) -> protocol.Order:
    (to,) = parse(text)
    return protocol.order(to, ("203.0.113.53",), title="t", body="b", type="info", priority="high")


@pytest.mark.parametrize("text", [text for text, *_ in GOOD])
def test_the_library_connects_where_the_firewall_opens(text: str) -> None:
    """Its plugin accepts the address as rewritten, and has the same host and port."""
    what = order(text)
    module, name = sender._PLUGINS[Library(what.library)]
    plugin = getattr(importlib.import_module(f"apprise.plugins.{module}"), name)
    service = plugin(**plugin.parse_url(what.url))
    assert not service.redirects or what.library == Library.MAIL
    assert service.verify_certificate
    if what.library in (Library.SLACK, Library.DISCORD):
        urls = [value for key, value in vars(plugin).items() if key in ("webhook_url", "api_url", "notify_url")]
        assert any(value.startswith(f"https://{what.host}/") for value in urls)
    else:
        assert (getattr(service, "smtp_host", "") or service.host, service.port) == (what.host, what.port)


def test_mail_goes_to_the_operators_recipients_over_tls() -> None:
    what = order("mailtos://me%40gmail.com:password1@gmail.com?smtp=smtp.gmail.com&to=a@b.example,c@d.example")
    email = importlib.import_module("apprise.plugins.email").NotifyEmail
    service = email(**email.parse_url(what.url))
    assert [address for _, address in service.targets] == ["a@b.example", "c@d.example"]
    assert (service.smtp_host, service.port, service.secure_mode) == ("smtp.gmail.com", 587, "starttls")
    assert (service.user, service.password, service.from_addr[1]) == ("me@gmail.com", "password1", "me@gmail.com")


def test_headers_of_a_webhook_reach_it_unchanged() -> None:
    what = order("jsons://hook.example.com/in?+Authorization=Bearer%20a%2Bb%26c&-key=d%2Be")
    plugin = importlib.import_module("apprise.plugins.custom_json").NotifyJSON
    service = plugin(**plugin.parse_url(what.url))
    assert service.headers == {"Authorization": "Bearer a+b&c"}
    assert service.params == {"key": "d+e"}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(ssl.SSLCertVerificationError(1, "x"), Outcome.CERTIFICATE), (ssl.SSLEOFError(8, "x"), Outcome.TLS),
     (smtplib.SMTPNotSupportedError("no STARTTLS"), Outcome.TLS), (ConnectionRefusedError(), Outcome.REFUSED),
     (TimeoutError(), Outcome.TIMED_OUT), (ConnectionResetError(), Outcome.TLS), (OSError(113, "x"), Outcome.UNREACHABLE)],
)  # fmt: skip
def test_the_reason_of_a_failed_connection(error: Exception, outcome: Outcome) -> None:
    assert sender.reason(error) is outcome


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(301, Outcome.REDIRECT), (401, Outcome.DENIED), (403, Outcome.DENIED), (404, Outcome.NOT_FOUND), (410, Outcome.NOT_FOUND),
     (418, Outcome.CLIENT_ERROR), (429, Outcome.TOO_MANY), (500, Outcome.SERVER_ERROR)],
)  # fmt: skip
def test_the_reason_of_an_http_status(status: int, outcome: Outcome) -> None:
    assert sender.of_http(status) is outcome


@pytest.mark.parametrize(
    ("codes", "outcome"),
    [((220, 250), Outcome.NOT_ACCEPTED), ((250, 535), Outcome.LOGIN), ((235, 550), Outcome.MAIL_REFUSED),
     ((-1,), Outcome.MAIL_REFUSED)],
)  # fmt: skip
def test_the_reason_of_an_smtp_reply(codes: tuple[int, ...], outcome: Outcome) -> None:
    answers = sender.Answers()
    for code in codes:
        answers.mail(code)
    assert answers.outcome is outcome


async def test_an_address_needs_no_resolver() -> None:
    assert await sender.resolve(order("json://192.168.1.5/x")) == ("192.168.1.5",)


@pytest.mark.parametrize(
    ("rcode", "addresses", "outcome"),
    [(3, (), Outcome.NO_SUCH_NAME), (0, (), Outcome.NO_ADDRESS), (0, ("127.0.0.1", "169.254.169.254"), Outcome.NOT_PERMITTED)],
)
async def test_a_name_without_a_permitted_address(
    monkeypatch: pytest.MonkeyPatch, rcode: int, addresses: tuple[str, ...], outcome: Outcome
) -> None:
    async def ask(self: object, name: str) -> Any:
        return SimpleNamespace(rcode=rcode, addresses=addresses)

    monkeypatch.setattr(Upstreams, "ask", ask)
    with pytest.raises(Stopped) as caught:
        await sender.resolve(order("ntfys://a-topic"))
    assert caught.value.outcome is outcome


async def test_loopback_is_left_out_of_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(self: object, name: str) -> Any:
        return SimpleNamespace(rcode=0, addresses=("127.0.0.1", "192.168.1.5", "203.0.113.9"))

    monkeypatch.setattr(Upstreams, "ask", ask)
    assert await sender.resolve(order("ntfys://a-topic")) == ("192.168.1.5", "203.0.113.9")


def test_a_malformed_order_is_a_failure_without_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sender, "limit", lambda: None)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b'{"url": "ntfys://secret"}\n')))
    assert sender.main() == Outcome.FAILED
    assert capsys.readouterr() == ("", "")

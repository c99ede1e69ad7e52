"""The rate of reports about dropped cookies."""

from __future__ import annotations

from backend.contract.events import CookiesDropped
from backend.services.cookies import SECONDS, Cookies


def test_cookies_of_a_host_are_reported_at_once_and_then_once_a_minute() -> None:
    now = 1000.0
    cookies = Cookies(lambda: now)
    for host in ("a.test", "b.test", "a.test"):
        cookies.add(host)
    assert cookies.take() == [CookiesDropped("a.test", 2), CookiesDropped("b.test", 1)]
    for _ in range(500):
        cookies.add("a.test")
    now += SECONDS - 1
    assert cookies.take() == []
    cookies.add("a.test")
    now += 1
    assert cookies.take() == [CookiesDropped("a.test", 501)]
    assert cookies.take() == []

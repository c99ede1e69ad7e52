"""Accounts without people."""

from backend.sandbox import traces

PASSWD = """\
root:x:0:0:Rosa Root,,555-0100:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
alice:x:1000:1000:Alice Example,,,:/home/alice:/bin/bash
claude:x:1000:1000::/home/claude:/bin/bash
_svc:x:64030:64030::/var/lib/svc:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
+::::::
"""
GROUP = "root:x:0:\nsudo:x:27:alice,bob\nalice:x:1001:\nclaude:x:1000:\nnogroup:x:65534:\n+:::\n"


def test_people_are_removed_from_accounts() -> None:
    assert traces.without_people(PASSWD) == (
        "root:x:0:0:root:/root:/bin/bash\n"
        "daemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n"
        "claude:x:1000:1000::/home/claude:/bin/bash\n"
        "nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n"
    )


def test_people_are_removed_from_groups() -> None:
    assert traces.without_people(GROUP) == "root:x:0:\nsudo:x:27:\nclaude:x:1000:\nnogroup:x:65534:\n"

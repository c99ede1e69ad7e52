"""Accounts without people, configuration without credentials, and a root without either."""

import re
from pathlib import Path

import pytest

from backend.sandbox import traces

PASSWD = """\
root:x:0:0:Rosa Root,,555-0100:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
alice:x:1000:1000:Alice Example,,,:/srv/alice:/bin/bash
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


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("index-url = https://me:s3cret@pypi.example/simple\n", "index-url = https://pypi.example/simple\n"),
        ("deb https://user:s3cret@apt.example/debian stable main\n", "deb https://apt.example/debian stable main\n"),
        ("//npm.example/:_authToken=npm_s3cret\nregistry=https://npm.example/\n", "//npm.example/:_authToken=\nregistry=https://npm.example/\n"),
        ("//npm.example/:_auth=czNjcmV0\n", "//npm.example/:_auth=\n"),
        ("//npm.example/:_password = \"czNjcmV0\"\n", "//npm.example/:_password = \n"),
        ('Environment="DB_PASSWORD=s3cret"\nUser=www\n', 'Environment="DB_PASSWORD="\nUser=www\n'),
        ("machine apt.example login me password s3cret\n", "machine apt.example login me password \n"),
        ("<password>s3cret</password>\n", "<password></password>\n"),
        ("password: s3cret\n", "password: \n"),
        ("http_proxy=http://p:s3cret@proxy.example:3128/\n", "http_proxy=http://proxy.example:3128/\n"),
    ],
)  # fmt: skip
def test_credentials_are_removed_from_configuration(text: str, left: str) -> None:
    assert traces.without_credentials(text) == left


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("export GITHUB_TOKEN='ghp s3cret'\nPATH=/usr/bin\n", "export GITHUB_TOKEN=\nPATH=/usr/bin\n"),
        ("AWS_SECRET_ACCESS_KEY=abc\n", "AWS_SECRET_ACCESS_KEY=\n"),
        ("  API_KEY=abc; export API_KEY\n", "  API_KEY=; export API_KEY\n"),
        ('if [ "$TOKEN" = x ]; then : "${PASSWORD:=y}"; fi\n', 'if [ "$TOKEN" = x ]; then : "${PASSWORD:=y}"; fi\n'),
    ],
)
def test_scripts_stay_valid(text: str, left: str) -> None:
    assert traces.without_credentials(text, is_script=True) == left


@pytest.mark.parametrize(
    "text",
    [
        "index-url = https://pypi.example/simple\n",
        "deb [signed-by=/usr/share/keyrings/x.gpg] https://deb.example/debian stable main\n",
        "mail me@example.com\n",
        "PASSWORD=\n",
        "# see token.html\n",
        "if [ \"$PS1\" ]; then\n  PS1='\\u@\\h:\\w\\$ '\nfi\n",
    ],
)
def test_other_configuration_stays(text: str) -> None:
    assert traces.without_credentials(text) == text


def test_nothing_is_read_or_removed_through_a_link(tmp_path: Path) -> None:
    """`up` builds the root while the machine's own files are still in reach."""
    root, machine = tmp_path / "root", tmp_path / "machine"
    (root / "etc").mkdir(parents=True)
    (machine / "ssh").mkdir(parents=True)
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/group").write_text(GROUP)
    (machine / "ssh/ssh_host_rsa_key.pub").write_text("key")
    (machine / "pip.conf").write_text("index-url = https://me:s3cret@pypi.example/simple\n")
    (root / "etc/ssh").symlink_to(machine / "ssh")
    (root / "etc/apt").symlink_to(machine)
    (root / "etc/pip.conf").symlink_to(machine / "pip.conf")
    before = {path: path.read_bytes() for path in machine.rglob("*") if path.is_file()}
    traces.remove(root, root, lambda file: file.unlink())
    assert {path: path.read_bytes() for path in machine.rglob("*") if path.is_file()} == before
    assert (root / "etc/pip.conf").is_symlink()


def test_a_root_gets_files_without_the_machines_traces(tmp_path: Path) -> None:
    base, root = tmp_path / "machine", tmp_path / "root"
    for file, text, mode in (
        ("etc/pip.conf", "index-url = https://me:s3cret@pypi.example/simple\n", 0o644),
        ("etc/xdg/pip/pip.conf", "index-url = https://me:s3cret@pypi.example/simple\n", 0o640),
        ("etc/wgetrc", "tries = 3\n", 0o644),
        ("etc/fstab", "nas:/home /home nfs\n", 0o644),
        ("etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAA\n", 0o644),
        ("etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0o444),
    ):
        path = base / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/group").write_text(GROUP)
    hidden: list[Path] = []
    traces.remove(root, base, hidden.append)
    assert hidden == [root / "etc/fstab", root / "etc/ssh/ssh_host_ed25519_key.pub"]
    assert {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} == {
        "etc/group", "etc/machine-id", "etc/passwd", "etc/pip.conf",
    }  # fmt: skip
    assert (root / "etc/pip.conf").read_text() == "index-url = https://pypi.example/simple\n"
    assert re.fullmatch(r"[0-9a-f]{32}\n", (root / "etc/machine-id").read_text())
    assert (root / "etc/machine-id").read_text() != (base / "etc/machine-id").read_text()

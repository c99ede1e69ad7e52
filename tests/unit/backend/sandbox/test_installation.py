"""Our own files in a sandbox's root, in the image and with `up`."""

import os
from pathlib import Path

from backend.contract.paths import Paths
from backend.sandbox import installation

PASSWD = "{user}:x:{uid}:{uid}::{home}:{shell}"
TEXT = "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000::/srv/alice:/bin/zsh\nguard:x:5:5::/:/bin/sh\nnobody:x:65534:\n"


def test_our_users_replace_those_with_the_same_name_or_id() -> None:
    lines = installation.accounts(TEXT, PASSWD).splitlines()
    assert lines[:2] == ["root:x:0:0:root:/root:/bin/bash", "nobody:x:65534:"]
    assert lines[2:] == [
        "claude:x:1000:1000::/home/claude:/bin/bash",
        "coredns:x:953:953::/nonexistent:/usr/sbin/nologin",
        "guard:x:954:954::/nonexistent:/usr/sbin/nologin",
        "gate:x:955:955::/nonexistent:/usr/sbin/nologin",
        "exporter:x:956:956::/nonexistent:/usr/sbin/nologin",
        "reader:x:958:958::/nonexistent:/usr/sbin/nologin",
        "notifier:x:959:959::/nonexistent:/usr/sbin/nologin",
    ]


def test_adding_accounts_twice_changes_nothing() -> None:
    once = installation.accounts(TEXT, PASSWD)
    assert installation.accounts(once, PASSWD) == once


def test_odd_lines_are_kept() -> None:
    assert installation.accounts("+::::::\n\n# note", PASSWD).startswith("+::::::\n\n# note\nclaude:")


def prepared(root: Path) -> Paths:
    (root / "etc").mkdir()
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (root / "etc/group").write_text("root:x:0:\n")
    return Paths(root)


def test_launchers_folders_and_accounts_are_placed(tmp_path: Path) -> None:
    paths = prepared(tmp_path)
    installation.install(tmp_path)
    for name in ("codetainer", "attach-claude", "start-claude", "status", "entrypoint", "gh", "git"):
        assert (tmp_path / "usr/local/bin" / name).stat().st_mode & 0o777 == 0o755
    assert str(paths.git.readlink()) == "/usr/bin/git"
    assert str((tmp_path / "usr/local/bin/git-receive-pack").readlink()) == "git"
    assert all(folder.is_dir() for folder in (paths.workspace, paths.home, paths.tmp, paths.run, paths.sshd))
    assert "claude:x:1000:" in (tmp_path / "etc/group").read_text()


def test_configuration_of_git_gh_and_claude_links_to_the_files_that_boot_writes(tmp_path: Path) -> None:
    paths = prepared(tmp_path)
    (tmp_path / "etc/gitconfig").write_text("the machine's\n")
    installation.install(tmp_path)
    assert str(paths.git_config.readlink()) == "/run/codetainer/gitconfig"
    assert str(paths.gh_config.readlink()) == "/run/codetainer/gh-config"
    assert str(paths.claude_managed.readlink()) == "/run/codetainer/claude-managed.json"


def test_a_terminal_of_root_starts_the_login_and_no_user_has_a_password(tmp_path: Path) -> None:
    prepared(tmp_path)
    installation.install(tmp_path)
    assert "attach-claude" in (tmp_path / "root/.bashrc").read_text()
    assert (tmp_path / "root/.profile").is_file()
    shadow = tmp_path / "etc/shadow"
    assert shadow.stat().st_mode & 0o777 == 0o600
    assert {line.split(":")[1] for line in shadow.read_text().splitlines()} == {"*"}


def test_a_link_is_replaced_and_its_target_kept(tmp_path: Path) -> None:
    prepared(tmp_path)
    (tmp_path / "usr/local/bin").mkdir(parents=True)
    theirs = tmp_path / "theirs"
    theirs.write_text("root:x:0:0::/root:/bin/sh\n")
    ours = (tmp_path / "etc/passwd", tmp_path / "etc/shadow", tmp_path / "usr/local/bin/gh")
    for file in ours:
        file.unlink(missing_ok=True)
        file.symlink_to(theirs)
    installation.install(tmp_path)
    assert theirs.read_text() == "root:x:0:0::/root:/bin/sh\n"
    assert not any(file.is_symlink() for file in ours)


def test_file_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    prepared(tmp_path)
    before = os.umask(0o077)
    try:
        installation.install(tmp_path)
    finally:
        os.umask(before)
    for name in ("etc/passwd", "etc/group", "root/.bashrc"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o644

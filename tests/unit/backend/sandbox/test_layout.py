"""The decisions about the sandbox's root that need no mounts."""

from pathlib import Path

import pytest

from backend.sandbox import layout


@pytest.mark.parametrize(
    ("path", "visible"),
    [
        ("/usr/bin/python3.99", True),
        ("/bin/sh", True),
        ("/root/bin/node", False),
        ("/opt/tool/bin/tool", False),
        ("/somewhere/of/mine", False),
        ("/var/tmp/x", False),
        ("/", False),
    ],
)
def test_only_system_folders_are_visible_inside(path: str, visible: bool) -> None:
    assert layout.visible(Path(path)) is visible


def test_a_program_of_an_npm_package_needs_the_whole_package(tmp_path: Path) -> None:
    program = tmp_path / "node_modules/@scope/tool/bin/tool.js"
    program.parent.mkdir(parents=True)
    program.touch()
    assert layout.package(program) == program
    (tmp_path / "package.json").touch()  # of the project that installed the package
    assert layout.package(program) == program
    (tmp_path / "node_modules/@scope/tool/package.json").touch()
    assert layout.package(program) == tmp_path / "node_modules/@scope/tool"


def test_a_folder_with_needed_files_is_not_covered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first, second, link = tmp_path / "first", tmp_path / "second", tmp_path / "link"
    first.mkdir()
    second.mkdir()
    link.symlink_to(first)
    monkeypatch.setattr(layout, "HOLDERS", (str(tmp_path / "none"), str(link), str(first), str(second)))
    assert layout.holder(()) == first
    assert layout.holder((first / "checkout/build/coredns",)) == second
    with pytest.raises(OSError, match="cannot make a root"):
        layout.holder((first / "a", second / "b"))


def test_our_packages_are_found() -> None:
    for name in layout.PACKAGES:
        assert (layout._folder(name) / "__init__.py").is_file() or name == "network"
    with pytest.raises(OSError, match="cannot find the package"):
        layout._folder("codetainer_of_another_kind")


@pytest.mark.parametrize("link", ["usr/local", "usr/local/bin", "var/log", "etc/ssl"])
def test_nothing_is_written_through_a_link_out_of_the_root(link: str, tmp_path: Path) -> None:
    """`up` builds the root while the machine's own files are still in reach."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    (root / link).parent.mkdir(parents=True)
    (root / link).symlink_to(outside)
    layout.stay_inside(root)
    assert (root / link).is_dir()
    assert not (root / link).is_symlink()
    assert list(outside.iterdir()) == []


def test_a_link_within_the_root_stays(tmp_path: Path) -> None:
    (tmp_path / "usr").mkdir()
    (tmp_path / "usr/local").symlink_to("../var/usrlocal")
    layout.stay_inside(tmp_path)
    assert (tmp_path / "usr/local").is_symlink()

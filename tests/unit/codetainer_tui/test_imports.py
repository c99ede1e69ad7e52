"""The imports of a login, read from the source: none is heavy, because the login waits for them."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
OURS = ("codetainer_tui", "backend", "network")
HEAVY = {
    "textual",
    "rich",
    "asyncio",
    "subprocess",
    "dns",
    "filelock",
    "libtmux",
    "psutil",
    "cryptography",
    "importlib.metadata",
    "logging",
    "hypothesis",
}


def at_import(path: Path) -> set[str]:
    """The modules that importing a file imports."""
    found: set[str] = set()
    waiting: list[ast.stmt] = list(ast.parse(path.read_text()).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.dump(node.test):
            waiting += node.body + node.orelse
        elif isinstance(node, ast.Try):
            waiting += node.body
    return found


def source(module: str) -> Path | None:
    path = ROOT / module.replace(".", "/")
    for candidate in (path / "__init__.py", path.with_suffix(".py")):
        if candidate.is_file():
            return candidate
    return None


def loaded(module: str) -> set[str]:
    """All modules that importing one of ours imports, without those that the standard library imports."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        parts = name.split(".")
        for name_ in (".".join(parts[:n]) for n in range(1, len(parts) + 1)):
            if name_ not in seen:
                seen.add(name_)
                path = source(name_) if name_.startswith(OURS) else None
                waiting += at_import(path) if path else []
    return seen


@pytest.mark.parametrize(
    "module", ["cli", "arguments", "attach", "handover", "status", "plain", "logs", "boot", "ask", "suggest", "dashboard"]
)
def test_no_verb_but_the_dashboard_loads_anything_heavy(module: str) -> None:
    assert loaded(f"codetainer_tui.{module}") & HEAVY == set()


HOOKS = sorted(path.stem for path in (ROOT / "backend/hooks").glob("*.py") if path.stem != "__init__")


PROCESSES = ("supervision.start", "guard.process", "work.process", "selftest.probe", *(f"hooks.{name}" for name in HOOKS))


@pytest.mark.parametrize("module", PROCESSES)
def test_no_process_starts_with_heavy_packages(module: str) -> None:
    """The supervisor imports libtmux and psutil at first use, and cryptography (10 MB) only for SSH keys."""
    assert source(f"backend.{module}") is not None
    assert loaded(f"backend.{module}") & {"libtmux", "psutil", "cryptography"} == set()


def importing(package: str) -> set[str]:
    """Our modules that import a package anywhere, also in functions."""
    found = set()
    for path in (path for folder in OURS for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.partition(".")[0] == package for name in names):
                found.add(str(path.relative_to(ROOT)))
    return found


def test_psutil_measures_the_load_and_nothing_else() -> None:
    assert importing("psutil") == {"backend/supervision/load.py"}


def test_libtmux_drives_the_session_and_nothing_else() -> None:
    """Stock libtmux runs tmux as the caller and reads without limit, so only our wrapper may use it."""
    assert importing("libtmux") == {"backend/session/server.py"}


def test_the_search_finds_known_imports() -> None:
    assert "textual" in loaded("codetainer_tui.dashboard.app")
    assert "backend.contract.events" in loaded("codetainer_tui.attach")


def test_everything_else_is_the_standard_library() -> None:
    allowed = {*sys.stdlib_module_names, *OURS}
    assert {name.split(".")[0] for name in loaded("codetainer_tui.attach")} <= allowed

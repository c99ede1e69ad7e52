"""Finds and builds the clients that a sandbox does not have. `.ci/setup programs` installs them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def programs(folder: Path) -> dict[str, Path]:
    """Builds and finds the clients that are not in the sandbox's own file system: files and folders by name."""
    subprocess.run(["javac", "-d", folder, HERE / "Client.java"], check=True, timeout=300)
    built = ROOT / "build/go/bin/go"
    subprocess.run(
        [built if built.exists() else "go", "build", "-o", folder / "go-client", HERE / "client.go"], check=True, timeout=300,
        env={**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GO111MODULE": "off"},
    )  # fmt: skip
    modules = ROOT / "build/clients/node_modules"
    return {
        **{file.name: file for file in folder.glob("Client*.class")},
        "go-client": folder / "go-client",
        "cargo": _cargo(),
        "bun": _only(ROOT / "build/programs/node_modules", "@oven/bun-linux-*/bin/bun"),
        "claude": _only(ROOT / "build/programs/node_modules", "@anthropic-ai/claude-code-linux-*/claude"),
        "claude-other": _only(ROOT / "build/other/node_modules", "@anthropic-ai/claude-code-linux-*/claude"),
        "deno": _only(modules, "@deno/linux-*/deno"),
        "node_modules": modules,
        "python": ROOT / "build/clients/python",
    }


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    assert found, f"{pattern} not found: run `.ci/setup programs`"
    return found[0]


def _cargo() -> Path:
    """Returns the path of cargo itself, not of rustup's proxy."""
    rustup = shutil.which("rustup")
    path = subprocess.run([rustup, "which", "cargo"], capture_output=True, text=True, check=True).stdout if rustup else ""
    return Path(path.strip() or shutil.which("cargo") or "cargo").resolve(strict=True)

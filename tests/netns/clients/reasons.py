"""Why a cell of the table has no outcome, or a bad one, and what to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """Both are sentences."""

    why: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.why} {self.remedy}"


_NOTHING = "Nothing to do."
_ONCE = Reason("Each run opens its own connections and ends, so none is idle for long.", _NOTHING)
_FINAL_103 = Reason(
    "Takes the 103 for the answer, also without the gate, because its library knows only 100.",
    "Hosts send 103 to browsers, which they recognise by `Sec-Fetch-*` headers and `Accept: text/html`: do not send these.",
)
_NO_UPLOAD = Reason(
    "Only downloads.", "Upload with another program, such as curl, or the registry's own (`npm publish`, `uv publish`)."
)
_HALF = "With a content-length, takes half an answer for the whole."

REASONS: dict[tuple[str, str], Reason] = {
    **{
        (client, "idle"): _ONCE
        for client in (
            "git", "git-lfs", "gh", "curl", "wget", "aria2", "pip", "uv", "npm", "pnpm", "yarn", "bun-add", "cargo",
        )
    },
    **{(client, "early"): _FINAL_103 for client in ("requests", "java-url", "pip")},
    **{(client, "upload"): _NO_UPLOAD for client in ("aria2", "pip", "pnpm", "yarn", "bun-add")},
    ("java-url", "reset"): Reason(_HALF, "Compare its size with `getContentLengthLong()`, or use HttpClient."),
    ("ruby", "reset"): Reason(_HALF, "Set `ignore_eof = false`."),
    **{
        (client, "login"): Reason(
            "Sends its credential with every request.", "After a 401, see [troubleshooting](troubleshooting.md)."
        )
        for client in ("claude", "claude-other")
    },
    ("cargo", "login"): Reason(
        "Sends a registry's token with every request if the index demands it (`auth-required`).", _NOTHING
    ),
}  # fmt: skip

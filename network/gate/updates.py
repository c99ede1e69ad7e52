"""Commands for HAProxy's admin socket that change single lines of its lists (acl) and maps. Source: management guide, 2.6."""

from __future__ import annotations

from collections.abc import Collection

MAX_LINES = 200  # if more lines differ, the whole list is replaced


def commands(kind: str, file: str, before: tuple[str, ...], now: tuple[str, ...], *, suffixes: bool) -> list[str] | None:
    """Returns the commands that turn the lines of a list (`acl`) or map into others; None if it has to be replaced.

    A new line goes to the end. In a map of `suffixes` the first match counts, so that is right only if no line matches the new
    one. Lines of a list are not removed and added one by one, because the requests in between would see neither.
    """
    if kind == "acl":
        return _of_list(file, before, now)
    old, new = (dict(line.split(" ", 1) for line in lines) for lines in (before, now))
    if len(old) < len(before) or len(new) < len(now):
        return None  # several lines for a key
    added = [key for key in new if key not in old]
    if suffixes and any(_matches(key, old.keys() | new.keys()) for key in added):
        return None
    changes = [
        *(f"del map {file} {key}" for key in old if key not in new),
        *(f"set map {file} {key} {value}" for key, value in new.items() if old.get(key, value) != value),
        *(f"add map {file} {key} {new[key]}" for key in added),
    ]
    return changes if len(changes) <= MAX_LINES else None


def _of_list(file: str, before: tuple[str, ...], now: tuple[str, ...]) -> list[str] | None:
    old, new = dict.fromkeys(before), dict.fromkeys(now)
    removed, added = [line for line in old if line not in new], [line for line in new if line not in old]
    if (removed and added) or len(removed) + len(added) > MAX_LINES or len(old) < len(before) or len(new) < len(now):
        return None
    return [*(f"del acl {file} {line}" for line in removed), *(f"add acl {file} {line}" for line in added)]


def _matches(key: str, keys: Collection[str]) -> bool:
    """True if a shorter suffix, such as `.example:443` for `.a.example:443`, is one of the keys."""
    _, *labels = key.split(".")
    return any(f".{'.'.join(labels[start:])}" in keys for start in range(1, len(labels)))

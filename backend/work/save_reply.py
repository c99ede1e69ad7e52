"""The reply to `codetainer save`."""

from __future__ import annotations

from backend.contract import unsaved
from backend.contract.control import Reply, WorkAtStake
from backend.contract.events import WorkSaved


def save_reply(saved: WorkSaved, stake: WorkAtStake, repository: str) -> Reply:
    """Says what was saved, where, and what is not saved. `repository` is REPO_URL's `owner/repo`."""
    if saved.problem:
        reason = f"cannot save {unsaved.CLONE} to {saved.branch}: {saved.problem}"
        return Reply(False, reason, f"Run {unsaved.export()} to get the work out of the sandbox.")
    place = unsaved.PRETEND if stake.pretend else repository
    if not saved.commit:
        text = f"nothing to save: {unsaved.CLONE} has no unsaved work; later work will be saved when the sandbox stops"
    else:
        text = f"saved {unsaved.CLONE} to {saved.branch} of {place}; it will be saved again when the sandbox stops"
    lines = [text]
    if saved.commit and stake.pretend:
        lines.append(f"Run {unsaved.export()} to keep it.")
    if saved.commit and saved.left_out:
        lines.append(f"left out: {', '.join(saved.left_out)}")
    others = unsaved.needs_export(stake.repositories)
    lines += [f"not saved: {unsaved.describe(other)}. Run {unsaved.export(other.path)} to keep it." for other in others]
    if stake.problem:
        lines.append(f"cannot tell whether other repositories have unsaved work, which is not saved: {stake.problem}")
    data = {"branch": saved.branch, "left_out": list(saved.left_out), "not_saved": [other.path for other in others]}
    return Reply(True, "\n".join(lines), data=data)

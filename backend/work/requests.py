"""Answers the operator's control requests about unsaved work."""

from __future__ import annotations

import dataclasses

from backend.contract.control import CountWork, DropWork, Reply, SaveWork
from backend.work.keeper import Keeper


async def answer(request: CountWork | SaveWork | DropWork, keeper: Keeper) -> Reply:
    match request:
        case CountWork():
            return Reply(True, data=dataclasses.asdict(await keeper.at_stake()))
        case SaveWork():
            return await _saved(keeper)
        case DropWork():
            keeper.drop()
            return Reply(True, "nothing will be saved when the sandbox stops")


async def _saved(keeper: Keeper) -> Reply:
    saved = await keeper.save()
    if saved.problem:
        reason = f"cannot save to {saved.branch}: {saved.problem}"
        return Reply(False, reason, "Run codetainer export to get the work out of the sandbox.")
    text = f"saved work to {saved.branch}; it will be saved again when the sandbox stops"
    if saved.left_out:
        text += f"; left out: {', '.join(saved.left_out)}"
    return Reply(True, text, data={"branch": saved.branch, "left_out": list(saved.left_out)})

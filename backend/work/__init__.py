"""Unsaved work: counts it, saves it to `wip/` and exports it. Nothing in this folder runs git as root.

`git.py`, `repository.py` and `scratch.py` run as the agent, in the processes of `process.py` (count, save) and `export.py`.
`keeper.py` is the supervisor's side: it starts these processes and trusts none of their output.
"""

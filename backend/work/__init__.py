"""Work that exists in the sandbox only: counted, saved to `wip/`, exported. Nothing of it runs git as root.

`git.py`, `repository.py` and `scratch.py` run as the agent, in the processes of `process.py` (count, save) and `export.py`;
`keeper.py` is the supervisor's side, which starts them and believes nothing that they say.
"""

"""Suspends a sandbox's work to an archive, and resumes it in another sandbox.

`archive.py` is the file: written and verified by root, which copies the agent's part of it without reading it. `listing.py` and
`members.py` handle the agent's files, in processes that run as the agent (`process.py`). `writing.py` and `restoring.py` start
these processes. `places.py` replaces files at once, and keeps generations of archives in a folder.
"""

"""Git LFS through the gate: downloads and uploads of a large object, compared with direct transfers in the same run.

The gate reads the LFS API's answers at github.com (network/gate/lfs.lua). A download comes from a store whose TLS passes the
gate unchanged, an upload goes to one whose TLS ends there. Client, gate and server share this machine, so the bound is that of
its processors.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator

from backend.contract.paths import AGENT_UID, GATE_UID
from backend.settings import credentials_file
from network.gate import credentials
from tests.bench.install import timed
from tests.bench.network import TOP
from tests.bench.rows import Row, measures
from tests.bench.sandbox import running

ROUNDS = 7
BYTES = 50 << 20  # the pretend store keeps every object in memory
MOST = 1.5  # times the direct duration
HOSTS = ("github-cloud.githubusercontent.com", "github-cloud.s3.amazonaws.com", "lfs.github.com")
NAMES = "".join(f'[[name]]\nname = "{name}"\naddresses = ["198.51.100.{40 + n}"]\nttl = 300\n' for n, name in enumerate(HOSTS))
# The gate replaces the placeholder in the remote's URL; the pretend host takes any credential.
REPOSITORY = """
git init -q r; cd r; git lfs install --local >/dev/null
git remote add origin https://any:{login}@github.com/example/demo; git config lfs.locksverify false
"""
NEW = f"head -c {BYTES} /dev/urandom | git lfs clean >pointer\n"
SAME = f"head -c {BYTES} /dev/zero | git lfs clean >pointer\n"
PUSH = 'git -C "$HOME/r" lfs push --object-id origin "$(sed -n s/^oid.sha256://p "$HOME/r/pointer")"'
FORGET = "rm -rf .git/lfs/objects\n"
PULL = f"cd r; git lfs smudge <pointer >out; test $(stat -c %s out) = {BYTES}"


@measures("lfs_download_through_gate", "lfs_upload_through_gate")
def lfs() -> Iterator[Row]:
    """Measures one object at a time."""
    times: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    domains = "".join(f"{name}\n" for name in ("github.com", *HOSTS))
    prepared = REPOSITORY.format(login=credentials.placeholders(credentials_file.shipped())["GH_PAT"])
    with running(pretend=TOP + NAMES, domains=domains, GH_PAT="ghp_of_the_bench") as sandbox:
        timed(sandbox, GATE_UID, ["sh", "-euc", PUSH], before=prepared + SAME)
        runs = {"upload": (PUSH, prepared + NEW), "download": (PULL, prepared + SAME + FORGET)}
        for number in range(ROUNDS + 1):  # the first round only warms up
            for what, (command, before) in runs.items():
                for uid in (AGENT_UID, GATE_UID) if number % 2 else (GATE_UID, AGENT_UID):
                    seconds = timed(sandbox, uid, ["sh", "-euc", command], before=before)
                    if number:
                        times[what, uid].append(seconds)
    for what in runs:
        gate, direct = (statistics.median(times[what, uid]) for uid in (AGENT_UID, GATE_UID))
        yield Row(f"lfs_{what}_through_gate", gate, "s", most=direct * MOST, yardstick="direct", beside=direct)

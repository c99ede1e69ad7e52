"""Makes a tree: tree.py FILES MB SEED. A third of its bytes cannot be compressed, as in packs and pictures."""

import random
import sys
from pathlib import Path

files, megabytes, seed = map(int, sys.argv[1:])
chance = random.Random(seed)
words = [bytes(chance.choices(range(97, 123), k=6)) for _ in range(4000)]
size = (megabytes << 20) // files
for number in range(files):
    folder = Path(f"/workspace/tree/{number // 100}")
    if number % 100 == 0:
        folder.mkdir(parents=True)
    data = chance.randbytes(size) if number % 3 == 0 else b" ".join(chance.choices(words, k=size // 7))
    (folder / str(number)).write_bytes(data)
print("null")

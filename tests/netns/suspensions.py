"""Trees of files as the agent leaves them, and what must be the same after a resume."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from backend.suspension import archive
from tests.netns.sandbox import Running

REPOSITORY = "https://github.com/example/demo"

# Everything that a file can be: names, modes, links, holes, times to the nanosecond; and what stays behind.
FILES = r"""
import os, socket, stat, sys
os.chdir('/workspace')
os.makedirs('deep/er', exist_ok=True)
for name, data in (('plain', b'x' * 5000), ('empty', b''), (b'not-utf-8-\xff\n', b'y'), ('n' * 250, b'z'),
                   ('deep/er/' + 'm' * 200, b'long'), ('-dash', b'-')):
    with open(name, 'wb') as file: file.write(data)
os.chmod('plain', 0o600); os.chmod('empty', 0o444)
os.makedirs('/home/claude/.ssh', exist_ok=True); os.chmod('/home/claude/.ssh', 0o700)
with open('/home/claude/.ssh/known_hosts', 'w') as file: file.write('h')
os.symlink('/usr/bin/python3', 'absolute'); os.symlink('nowhere/../..', 'dangling'); os.symlink('deep', 'to-a-folder')
os.link('plain', 'deep/hard'); os.link('absolute', 'hard-to-a-link', follow_symlinks=False)
os.mkfifo('pipe', 0o640)
with open('holes', 'wb') as file:
    file.seek(3 << 30); file.write(b'end'); file.truncate(4 << 30)
with open('largest', 'wb') as file: file.truncate((1 << 63) - (1 << 20)); file.seek(1 << 62); file.write(b'far')
with open('far-future', 'w') as file: file.write('f')
os.utime('far-future', ns=(1, (1 << 62) * 1_000_000_000))
with open('many-holes', 'wb') as file:
    for at in range(0, 400): file.seek(at * 65536); file.write(b'%d' % at)
os.makedirs('closed/in'); open('closed/in/f', 'w').close(); os.chmod('closed', 0o500)
os.makedirs('sticky'); os.chmod('sticky', 0o1777)
os.utime('empty', ns=(1, 1_234_567_890_123_456_789)); os.utime('deep/er', ns=(1, 5))
os.utime('absolute', ns=(1, 7), follow_symlinks=False)
with open('set-uid', 'w') as file: file.write('s')
os.chmod('set-uid', 0o6755)
with open('/tmp/in-tmp', 'w') as file: file.write('t')
s = socket.socket(socket.AF_UNIX); s.bind('/tmp/socket')
open('secret', 'w').close(); os.chmod('secret', 0)
print('null')
"""

# Describes every file below the agent's folders: type, mode, size, time, target, contents, inodes that are the same.
DESCRIBE = r"""
import hashlib, json, os, stat, sys
found, inodes = {}, {}
for top in sys.argv[1:]:
    for folder, folders, files in os.walk(os.fsencode(top)):
        for name in folders + files:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            kind = stat.S_IFMT(status.st_mode)
            about = [kind, stat.S_IMODE(status.st_mode), status.st_mtime_ns]
            if stat.S_ISLNK(kind): about += [os.readlink(path).hex()]
            elif stat.S_ISREG(kind):
                first = inodes.setdefault(status.st_ino, path.hex())
                about += [status.st_size, min(first, path.hex()) if status.st_nlink > 1 else '', status.st_nlink]
                if status.st_size < 1 << 26 and os.access(path, os.R_OK):
                    about += [hashlib.sha256(open(path, 'rb').read()).hexdigest()]
                else: about += [status.st_blocks]
            found[path.hex()] = about
print(json.dumps(found))
"""


def described(sandbox: Running, *folders: str) -> dict[str, Any]:
    """Returns a description of every file below the folders, by its name in hexadecimal digits."""
    found = sandbox.python(DESCRIBE, *folders)
    return {bytes.fromhex(name).decode(errors="backslashreplace"): about for name, about in found.items()}


def member(archive: bytes, name: str) -> Any:
    """Returns a JSON member of an archive."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        file = opened.extractfile(name)
        assert file is not None
        return json.load(file)


def rewritten(file: Path, target: Path, work: bytes | None = None, **changes: Any) -> Path:
    """Writes an archive with other values in its state and manifest, and other (uncompressed) `work`, but a right checksum."""
    with archive.opened(file) as opened, target.open("wb") as out:
        writer = archive.Writer(out.fileno(), lambda _: None)
        state, manifest = changes.get("state", {}), changes.get("manifest", {})
        writer.begin(replace(opened.state, **state), opened.read(opened.journal))
        for piece in map(opened.read, opened.pieces) if work is None else [compressed(work)]:
            writer.piece(piece)
        writer.finish(replace(opened.manifest, **manifest))
    return target


def compressed(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout

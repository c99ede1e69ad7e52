"""The check of the agent's files before tar may read them: what suspending writes passes unchanged, all else is refused."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.suspension.members import BLOCK, Checker, Hostile

MOST = 1 << 20


class Made:
    """A tar archive, member by member, as GNU tar writes them with an extended header for each."""

    def __init__(self) -> None:
        self.data = b""

    def add(
        self, name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", mode: int = 0o644, target: str = "",
        extended: dict[str, str] | None = None, size: int | None = None,
    ) -> Made:  # fmt: skip
        if extended:
            text = b"".join(record(key, value) for key, value in extended.items())
            self._header("PaxHeaders/x", b"x", len(text), 0o644, "")
            self.data += padded(text)
        self._header(name, kind, len(data) if size is None else size, mode, target)
        self.data += padded(data)
        return self

    def _header(self, name: str, kind: bytes, size: int, mode: int, target: str) -> None:
        about = tarfile.TarInfo(name)
        about.type, about.size, about.mode, about.linkname = kind, size, mode, target
        self.data += about.tobuf(tarfile.USTAR_FORMAT, errors="surrogateescape")

    def whole(self) -> bytes:
        return self.data + bytes(2 * BLOCK)


def record(key: str, value: str) -> bytes:
    """A record of an extended header, which begins with its own length."""
    body = f" {key}={value}\n".encode(errors="surrogateescape")
    size = len(body)
    while len(str(size)) + len(body) != size:
        size = len(str(size)) + len(body)
    return str(size).encode() + body


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def check(data: bytes, most: int = MOST, entries: int = 100, step: int = 1 << 30) -> bytes:
    """Feeds the archive in steps; returns what tar would read."""
    checker = Checker(most, entries)
    passed = b"".join(checker.feed(data[at : at + step]) for at in range(0, len(data), step))
    checker.finish()
    return passed


def sparse(regions: str, realsize: int, contents: bytes, name: str = "workspace/holes", **changed: str) -> Made:
    data = padded(regions.encode()) + contents
    extended = {
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": name, "GNU.sparse.realsize": str(realsize),
        **changed,
    }  # fmt: skip
    return Made().add("workspace/GNUSparseFile.7/holes", data=data, extended=extended)


GOOD: dict[str, Made] = {
    "nothing": Made(),
    "files in folders": Made().add("workspace/a", tarfile.DIRTYPE, mode=0o700).add("workspace/a/b", data=b"x" * 700),
    "a long name": Made().add("workspace/short", data=b"x", extended={"path": "workspace/" + "n" * 250, "mtime": "1.5"}),
    "a name that is not UTF-8": Made().add("workspace/x", extended={"path": "workspace/\udcff", "mtime": "-1.000000001"}),
    "a name with a line feed": Made().add("workspace/x", extended={"path": "workspace/a\nb=c"}),
    "links to anywhere": Made().add("workspace/l", tarfile.SYMTYPE, target="/etc/../passwd").add(
        "tmp/l", tarfile.SYMTYPE, extended={"linkpath": "../" * 200}
    ),
    "a hard link": Made().add("workspace/a", data=b"x").add("tmp/b", tarfile.LNKTYPE, target="workspace/a"),
    "a second name of a link": Made().add("workspace/s", tarfile.SYMTYPE, target="/etc/x").add(
        "tmp/h", tarfile.LNKTYPE, target="workspace/s"
    ),
    "the largest file and the latest time": sparse(
        f"2\n{1 << 62}\n5\n{(1 << 63) - 1}\n0\n", (1 << 63) - 1, b"abcde", mtime=f"{(1 << 63) - 1}.999999999"
    ),
    "the earliest time": Made().add("workspace/x", extended={"mtime": str(-(1 << 63))}),
    "a pipe, a sticky folder": Made().add("tmp/p", tarfile.FIFOTYPE).add("tmp/s", tarfile.DIRTYPE, mode=0o1777),
    "holes": sparse("2\n0\n3\n5000\n2\n", 9000, b"abcde"),
    "only a hole": sparse("1\n9000\n0\n", 9000, b""),
    "a size in its extended header": Made().add("workspace/a", data=b"x" * 9, size=0, extended={"size": "9"}),
}  # fmt: skip

DIRECTORY = Made().add("workspace/d", tarfile.DIRTYPE)
LINKED = Made().add("workspace/l", tarfile.SYMTYPE, target="/etc")
BAD: dict[str, tuple[Made | bytes, str]] = {
    "a device": (Made().add("workspace/null", tarfile.CHRTYPE), "/workspace/null is a device"),
    "a block device": (Made().add("workspace/sda", tarfile.BLKTYPE), "/workspace/sda is a device"),
    "set-user-ID": (Made().add("workspace/su", mode=0o4755), "is set-user-ID"),
    "set-group-ID": (Made().add("workspace/sg", tarfile.DIRTYPE, mode=0o2755), "is set-user-ID or set-group-ID"),
    "an absolute name": (Made().add("/etc/passwd"), "not a valid name"),
    "an absolute name in an extended header": (Made().add("workspace/x", extended={"path": "/etc/x"}), "not a valid name"),
    "dots": (Made().add("workspace/../etc/passwd"), "not a valid name"),
    "dots in an extended header": (Made().add("workspace/x", extended={"path": "workspace/../x"}), "not a valid name"),
    "dots at the end": (Made().add("workspace/.."), "not a valid name"),
    "one dot": (Made().add("workspace/./x"), "not a valid name"),
    "an empty part": (Made().add("workspace//x"), "not a valid name"),
    "a file with a slash, which tar takes for a folder": (Made().add("workspace/x/"), "not a valid name"),
    "a top folder itself": (Made().add("tmp", tarfile.DIRTYPE), "not in a folder of the archive"),
    "elsewhere": (Made().add("etc/passwd"), "not in a folder of the archive"),
    "beside the home": (Made().add("home/other"), "not in a folder of the archive"),
    "a folder that is missing": (Made().add("workspace/d/x"), "not in a folder of the archive"),
    "below a link": (Made().add("workspace/l", tarfile.SYMTYPE, target="/etc").add("workspace/l/x"), "not in a folder"),
    "through a link": (Made().add("workspace/l", tarfile.SYMTYPE, target="/etc/x").add("workspace/l", data=b"x"), "a link"),
    "through a pipe": (Made().add("workspace/p", tarfile.FIFOTYPE).add("workspace/p", data=b"x"), "through a link"),
    "a link that becomes a folder": (
        Made().add("workspace/l", tarfile.SYMTYPE, target="/etc").add("workspace/l", tarfile.DIRTYPE), "a folder and something",
    ),
    "a folder that becomes a link": (
        Made().add("workspace/d", tarfile.DIRTYPE).add("workspace/d", tarfile.SYMTYPE, target="/etc"), "a folder and something",
    ),
    "two links": (LINKED.add("workspace/l", tarfile.SYMTYPE, target="/usr"), "occurs twice"),
    "a hard link out": (Made().add("workspace/h", tarfile.LNKTYPE, target="/etc/shadow"), "a hard link out of the tree"),
    "a hard link with dots": (Made().add("workspace/h", tarfile.LNKTYPE, target="workspace/../../etc/x"), "a hard link out"),
    "a hard link elsewhere": (Made().add("workspace/h", tarfile.LNKTYPE, target="run/codetainer/x"), "a hard link out"),
    "a hard link in an extended header": (
        Made().add("workspace/h", tarfile.LNKTYPE, target="workspace/a", extended={"linkpath": "etc/x"}), "a hard link out",
    ),
    "through a second name of a link": (
        Made().add("workspace/s", tarfile.SYMTYPE, target="/etc/x").add("workspace/h", tarfile.LNKTYPE, target="workspace/s")
        .add("workspace/h", data=b"x"), "through a link",
    ),
    "below a second name of a link": (
        Made().add("workspace/s", tarfile.SYMTYPE, target="/etc").add("workspace/h", tarfile.LNKTYPE, target="workspace/s")
        .add("workspace/h/x", data=b"x"), "not in a folder",
    ),
    "a hard link to a folder": (DIRECTORY.add("tmp/h", tarfile.LNKTYPE, target="workspace/d"), "a hard link to a folder"),
    "a link to nothing": (Made().add("workspace/l", tarfile.SYMTYPE), "without a valid target"),
    "a link with contents": (Made().add("workspace/l", tarfile.SYMTYPE, data=b"x", target="a"), "has contents"),
    "a link with a size in its extended header": (
        Made().add("workspace/l", tarfile.SYMTYPE, target="a", extended={"size": "512"}), "has contents",
    ),
    "a contiguous file": (Made().add("workspace/c", tarfile.CONTTYPE), "of an unknown type"),
    "an old long name": (Made().add("workspace/x", tarfile.GNUTYPE_LONGNAME, data=b"/etc/x"), "a long name of an old form"),
    "an old sparse file": (Made().add("workspace/x", tarfile.GNUTYPE_SPARSE), "a sparse file of an old form"),
    "a header for all files": (Made().add("workspace/x", tarfile.XGLTYPE, data=record("path", "/etc/x")), "for all files"),
    "an unknown type": (Made().add("workspace/x", b"Z"), "of an unknown type"),
    "an old regular file": (Made().add("workspace/x", tarfile.AREGTYPE), "of an unknown type"),
    "an extended attribute": (Made().add("workspace/x", extended={"SCHILY.xattr.user.x": "y"}), "not known or not valid"),
    "another character set": (Made().add("workspace/x", extended={"hdrcharset": "BINARY"}), "not known or not valid"),
    "a zero in a name": (Made().add("workspace/x", extended={"path": "workspace/a\0b"}), "not known or not valid"),
    "an empty name": (Made().add("workspace/x", extended={"path": ""}), "not known or not valid"),
    "a negative size": (Made().add("workspace/x", extended={"size": "-1"}), "not known or not valid"),
    "too long": (Made().add("workspace/x", data=b"x" * (MOST + 1)), "longer than it declares"),
    "too long in an extended header": (Made().add("workspace/x", extended={"size": str(1 << 50)}), "ends too early"),
    "a map with too much": (sparse("1\n0\n900\n", 9000, b"abcde"), "does not fit its contents"),
    "a map with too little": (sparse("1\n0\n2\n", 9000, b"abcde"), "does not fit its contents"),
    "a map beyond the end": (sparse("1\n8999\n5\n", 9000, b"abcde"), "not valid"),
    "a map that goes back": (sparse("2\n10\n2\n5\n3\n", 9000, b"abcde"), "not valid"),
    "a map without numbers": (sparse("x\n0\n5\n", 9000, b"abcde"), "not valid"),
    "a map with a sign": (sparse("1\n-5\n5\n", 9000, b"abcde"), "not valid"),
    "a map without an end": (sparse("9\n0\n", 9000, b""), "not valid"),
    "a huge map": (sparse("9999999\n0\n", 9000, b""), "not valid"),
    "a sparse file elsewhere": (sparse("1\n0\n5\n", 9000, b"abcde", name="/etc/passwd"), "not a valid name"),
    "a sparse file of another version": (sparse("1\n0\n5\n", 9, b"abcde", **{"GNU.sparse.minor": "1"}), "an unknown form"),
    "a sparse folder": (
        Made().add("workspace/x", tarfile.DIRTYPE, extended={"GNU.sparse.major": "1"}), "a sparse file of an unknown form"
    ),
    "an end in the middle": (bytes(BLOCK) + Made().add("workspace/x").whole(), "something follows its end"),
    "no end": (Made().add("workspace/x").data, "ends too early"),
    "half a header": (Made().add("workspace/x").data[:300], "ends too early"),
    "half its contents": (Made().add("workspace/x", data=b"x" * 2000).data[:1200], "ends too early"),
    "an extended header for nothing": (Made().add("workspace/x", extended={"mtime": "1"}).data[:1024] + bytes(1024), "early"),
    "a wrong checksum": (Made().add("workspace/x").data.replace(b"workspace/x", b"workspace/y") + bytes(1024), "the checksum"),
    "the format of GNU tar": (
        tarfile.TarInfo("workspace/x").tobuf(tarfile.GNU_FORMAT) + bytes(1024), "not in POSIX format",
    ),
    "a name that is too long": (Made().add("workspace/x", extended={"path": "workspace/" + "n" * 5000}), "not a valid name"),
    "a wrong length of a record": (
        Made().add("workspace/x", extended={"mtime": "1"}).whole().replace(b"11 mt", b"12 mt"), "not valid",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("step", [1, 511, 512, 700, 1 << 20])
def test_what_suspending_writes_passes_unchanged(name: str, step: int) -> None:
    whole = GOOD[name].whole()
    assert check(whole, step=step) == whole


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("step", [512, 1 << 20])
def test_what_suspending_never_writes_is_refused(name: str, step: int) -> None:
    made, reason = BAD[name]
    data = made if isinstance(made, bytes) else made.whole()
    with pytest.raises(Hostile, match=reason):
        check(data, step=step)


def test_the_number_of_files_is_bounded() -> None:
    made = Made().add("workspace/a").add("workspace/b")
    assert check(made.whole(), entries=2)
    with pytest.raises(Hostile, match="more files than it declares"):
        check(made.whole(), entries=1)


def test_nothing_of_a_refused_member_passes() -> None:
    good, bad = Made().add("workspace/a", data=b"x" * 600).data, Made().add("workspace/null", tarfile.CHRTYPE).whole()
    checker = Checker(MOST, 9)
    assert checker.feed(good) == good
    with pytest.raises(Hostile):
        checker.feed(bad)


@given(st.binary(max_size=2000), st.integers(0, 1500))
def test_any_other_bytes_are_refused_or_an_archive_for_tarfile(noise: bytes, at: int) -> None:
    """Overwrites a part of a good archive. What still passes has the same members for Python's tar."""
    whole = bytearray(GOOD["files in folders"].whole() + bytes(1024))
    whole[at : at + len(noise)] = noise
    try:
        passed = check(bytes(whole))
    except Hostile:
        return
    with tarfile.open(fileobj=io.BytesIO(passed)) as opened:
        assert all(name.split("/")[0] == "workspace" for name in opened.getnames())

"""Formats that carry a clock are equal when what they hold is; everything else counts by its bytes."""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from pathlib import Path

from torchlift.verify.contents import read, stamps, written


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def digest(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return read(path, path.name).digest


def test_png_without_its_notes(tmp_path: Path) -> None:
    def image(note: bytes, pixel: bytes) -> bytes:
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + head + chunk(b"tEXt", note) + chunk(b"IDAT", zlib.compress(b"\0" + pixel))

    path = tmp_path / "x.png"
    assert digest(path, image(b"a\0now", b"\1")) == digest(path, image(b"a\0later", b"\1"))
    assert digest(path, image(b"a\0now", b"\1")) != digest(path, image(b"a\0now", b"\2"))


def test_gzip_and_zip_by_their_contents(tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert digest(path, gzip.compress(b"a", mtime=1)) == digest(path, gzip.compress(b"a", mtime=2))
    assert digest(path, gzip.compress(b"a", mtime=1)) != digest(path, gzip.compress(b"b", mtime=1))

    def archive(year: int, content: str) -> bytes:
        with zipfile.ZipFile(path, "w") as made:
            made.writestr(zipfile.ZipInfo("a", (year, 1, 1, 0, 0, 0)), content)
        return path.read_bytes()

    assert digest(path, archive(1990, "a")) == digest(path, archive(2000, "a"))
    assert digest(path, archive(1990, "a")) != digest(path, archive(1990, "b"))


def test_a_file_that_is_not_what_it_says_counts_by_its_bytes(tmp_path: Path) -> None:
    for magic in (b"\x89PNG\r\n\x1a\n", b"\x1f\x8b", b"PK\x03\x04"):
        assert digest(tmp_path / "x", magic + b"1") != digest(tmp_path / "x", magic + b"2")


def test_written_finds_new_changed_and_deleted_files(tmp_path: Path) -> None:
    for name in ("same", "changed", "deleted"):
        (tmp_path / name).write_text("a")
    before = stamps(tmp_path)
    (tmp_path / "changed").write_text("bb")
    (tmp_path / "deleted").unlink()
    for name in ("new", "model.pt", "owned.ckpt", "events.out.tfevents.1.host"):
        (tmp_path / name).write_text("c")
    found = written(tmp_path, before, {"owned.ckpt"}, {"model.pt": "digest"})
    assert [(file.path, file.text) for file in found] == [
        ("changed", "bb"),
        ("deleted", None),
        ("model.pt", None),
        ("new", "c"),
    ]
    assert [file.digest for file in found][1:3] == ["deleted", "object digest"]

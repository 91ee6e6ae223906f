"""What is in a file, apart from the clocks that some formats carry: a digest that two equal results share.

PNG: the chunks that carry text or times are left out. gzip: the content counts, not the header with its time.
zip (and so .npz): member names and contents count, not their dates. Everything else: the bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import struct
import zipfile
import zlib
from pathlib import Path

from torchlift.verify.records import File

LARGEST_TEXT = 1_000_000  # bytes
EVENT_FILES = (
    "events.out.tfevents"  # written by TensorBoard's writer: each record has a clock; its scalars are compared
)
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_NOTES = {b"tEXt", b"zTXt", b"iTXt", b"tIME", b"eXIf"}


def read(path: Path, name: str) -> File:
    data = path.read_bytes()
    return File(name, _digest(_essence(data)), _text(data))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _text(data: bytes) -> str | None:
    if len(data) > LARGEST_TEXT or b"\0" in data:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _essence(data: bytes) -> bytes:
    try:
        if data.startswith(_PNG):
            return _png(data)
        if data.startswith(b"\x1f\x8b"):
            return gzip.decompress(data)
        if data.startswith(b"PK\x03\x04"):
            return _zip(data)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, struct.error, RuntimeError):
        pass  # cut off, encrypted or not what it says it is: its bytes then
    return data


def _png(data: bytes) -> bytes:
    kept, at = [], len(_PNG)
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind not in _PNG_NOTES:
            kept.append(data[at : at + length + 12])
        at += length + 12
    return b"".join(kept)


def _zip(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return b"".join(f"{name}\0{_digest(archive.read(name))}\n".encode() for name in sorted(archive.namelist()))


Stamp = tuple[int, int, int]


def stamps(folder: Path) -> dict[str, Stamp]:
    """Every regular file below the folder, by its path with slashes: (size, time of change, inode)."""
    found = {}
    for base, _, names in os.walk(folder):
        for name in names:
            path = Path(base, name)
            if path.is_file() and not path.is_symlink():
                stat = path.stat()
                found[path.relative_to(folder).as_posix()] = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
    return found


def written(folder: Path, before: dict[str, Stamp], owned: set[str], saved: dict[str, str]) -> tuple[File, ...]:
    """The files that are new, changed or gone since `before`, without the event files of TensorBoard, Python's caches
    and what a framework wrote (`owned`). A file written by torch.save counts as the object in it (`saved`)."""
    now = stamps(folder)
    files = []
    for name in sorted(now.keys() | before.keys()):
        if now.get(name) == before.get(name) or name in owned or EVENT_FILES in name or "__pycache__" in name:
            continue
        if name not in now:
            files.append(File(name, "deleted"))
        elif name in saved:
            files.append(File(name, f"object {saved[name]}"))
        else:
            files.append(read(folder / name, name))
    return tuple(files)

"""Files in and out: reading a script, naming what is written, and writing it whole or not at all."""

from __future__ import annotations

import codecs
import errno
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torchlift_convert.types import Direction

STDIN = "-"
STDIN_NAME = "<stdin>"

# What the names of byte order marks are called where people meet them; UTF-8's own mark is honoured, not refused.
WIDE_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


class FileProblem(Exception):
    """A file that cannot be read, used or written.

    Args:
        name: the file as the user named it.
        message: one sentence without the name in front.
        line: line of the file, counted from 1, where there is one.
        remedy: what the user can do about it.
    """

    def __init__(self, name: str, message: str, *, line: int | None = None, remedy: str = "") -> None:
        self.name, self.message, self.line, self.remedy = name, message, line, remedy
        place = name if line is None else f"{name}:{line}"
        super().__init__(f"{place}: {message}" + (f" Remedy: {remedy}" if remedy else ""))

    def __reduce__(self) -> tuple[object, ...]:
        """To come back from another process as it was."""
        return partial(type(self), line=self.line, remedy=self.remedy), (self.name, self.message)


class Taken(FileProblem):
    """An output that is there already and says something else."""


@dataclass(frozen=True)
class Source:
    """A script as it lies on disk.

    ``name`` is what the user called it and what messages call it; ``path`` is None for standard input. ``encoding`` is
    a codec's name, ``utf-8-sig`` where the file starts with UTF-8's byte order mark.
    """

    name: str
    path: Path | None
    data: bytes
    encoding: str

    @property
    def text(self) -> str:
        return self.data.decode(self.encoding)

    @property
    def newline(self) -> str:
        """The line ending that most lines have."""
        crlf = self.data.count(b"\r\n")
        alone = {"\r\n": crlf, "\n": self.data.count(b"\n") - crlf, "\r": self.data.count(b"\r") - crlf}
        return max(("\n", "\r\n", "\r"), key=lambda ending: alone[ending])

    def encode(self, code: str) -> bytes:
        """Turn generated text into bytes as the original had them: same encoding, byte order mark and line endings.

        Raises:
            FileProblem: the text has a character that the script's declared encoding lacks.
        """
        code = code.removeprefix("\ufeff")
        if self.newline != "\n" and self.newline not in code:
            code = code.replace("\n", self.newline)
        try:
            return code.encode(self.encoding)
        except UnicodeEncodeError as error:
            char = error.object[error.start]
            raise FileProblem(
                self.name,
                f"its declared encoding {self.encoding} has no {char!r}, which the converted code needs.",
                remedy="save the script as UTF-8.",
            ) from None


def read_source(name: str) -> Source:
    """Read a script, or standard input when ``name`` is ``-``.

    Raises:
        FileProblem: there is no such file, or it holds no text that Python could read.
    """
    if name == STDIN:
        return as_source(STDIN_NAME, None, sys.stdin.buffer.read())
    path = Path(name)
    try:
        if path.is_dir():
            raise FileProblem(name, "this is a directory.", remedy="name one Python file.")
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise FileProblem(name, f"cannot be read: {reason(error)}.") from None
    return as_source(name, path, data)


def as_source(name: str, path: Path | None, data: bytes) -> Source:
    """Check that bytes are text that Python could read, and find out in which encoding.

    Raises:
        FileProblem: they are not; the message says why and where.
    """
    if not data.strip():
        raise FileProblem(name, "the file is empty; there is nothing to convert.")
    for mark, wide in WIDE_MARKS:
        if data.startswith(mark):
            raise FileProblem(name, f"the text is {wide}, which Python does not read.", remedy="save it as UTF-8.")
    if b"\0" in data:
        raise FileProblem(name, "this is a binary file, not Python source.")
    encoding = declared_encoding(name, data)
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = f"byte 0x{data[error.start]:02x}"
        if encoding in ("utf-8", "utf-8-sig"):
            raise FileProblem(
                name,
                f"{byte} is not UTF-8, and no other encoding is declared.",
                line=line,
                remedy="save the file as UTF-8, or name its encoding in the first line: # -*- coding: latin-1 -*-",
            ) from None
        raise FileProblem(name, f"{byte} does not exist in the declared encoding {encoding}.", line=line) from None
    return Source(name, path, data, encoding)


def is_notebook(name: str, data: bytes = b"") -> bool:
    """Is the file a Jupyter notebook? Standard input has no name that says so."""
    return name.lower().endswith(".ipynb") or (name == STDIN_NAME and data.lstrip()[:1] == b"{" and b'"cells"' in data)


def declared_encoding(name: str, data: bytes) -> str:
    """The encoding that a byte order mark or a declaration in the first two lines names, else UTF-8 (PEP 263)."""
    import tokenize  # 4 ms, and not needed by --help

    lines = iter(data.splitlines(keepends=True))
    try:
        return tokenize.detect_encoding(lambda: next(lines, b""))[0]
    except SyntaxError as error:
        # Raised for a broken first line as well; then the decoding that follows tells the place.
        problem = str(error.msg)
        if "unknown encoding" not in problem and "encoding problem" not in problem:
            return "utf-8"
        line = 1 if b"coding" in data.splitlines()[0] else 2
        raise FileProblem(
            name,
            f"Python cannot use the encoding declared here ({problem}).",
            line=line,
            remedy="correct the declaration.",
        ) from None


def reason(error: Exception) -> str:
    """The operating system's reason in a few words, with no number and no name of a file."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text[:1].lower() + text[1:]


def content(path: Path) -> bytes | None:
    """What a file holds, None when there is none.

    Raises:
        FileProblem: it is there and cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FileProblem(str(path), f"cannot be read: {reason(error)}.") from None


def default_output(path: Path, direction: Direction = Direction.CONVERT) -> Path:
    """``train.py`` becomes ``train_lightning.py`` beside it; back it becomes ``train_plain.py``."""
    stem = path.stem if direction is Direction.CONVERT else path.stem.removesuffix("_lightning")
    word = "lightning" if direction is Direction.CONVERT else "plain"
    return path.with_name(f"{stem}_{word}{path.suffix or '.py'}")


def same_file(one: Path, other: Path) -> bool:
    """Whether two names mean one file, through links as well; a file that is not there equals nothing."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def check_output(path: Path, name: str) -> None:
    """Say before any work is done that a file cannot be written there.

    Raises:
        FileProblem: the place is a directory, or its folder is missing or closed.
    """
    folder = path.parent
    if path.is_dir():
        raise FileProblem(name, "this is a directory.", remedy="name the file to write.")
    if not folder.is_dir():
        raise FileProblem(name, f"there is no folder {folder}.", remedy="make it first.")
    if path.exists() and not path.is_file():
        raise FileProblem(name, "this is no ordinary file.", remedy="name another one.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FileProblem(name, f"the folder {folder} does not let you write.")


def write_file(path: Path, data: bytes, *, like: Path | None = None, replace: bool = False) -> None:
    """Write a file whole or not at all: a kill at any moment leaves the old file or the new one.

    The text goes to a temporary file in the same folder, reaches the disk, and takes the name in one step. A link is
    written through, not replaced.

    Args:
        path: the file.
        data: its whole content.
        like: take permissions from this file when ``path`` does not exist yet.
        replace: an existing file may be replaced (it keeps its permissions); otherwise it is an error.

    Raises:
        FileProblem: it could not be written; nothing has changed.
    """
    name = str(path)
    path = Path(os.path.realpath(path))
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, permissions(path if replace and path.exists() else like))
        if replace:
            os.replace(temporary, path)
        else:
            take_free_name(temporary, path)
        keep_folder(path.parent)
    except FileExistsError:
        raise FileProblem(name, "the file exists already; it stays as it is.") from None
    except OSError as error:
        raise FileProblem(name, f"cannot be written: {reason(error)}. Nothing was changed.") from None
    finally:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)


def permissions(like: Path | None) -> int:
    """The mode bits of a file, or those a new file gets from the process's mask."""
    if like is not None and like.exists():
        return stat.S_IMODE(like.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def take_free_name(temporary: str, path: Path) -> None:
    """Give a finished file its name only if nobody has it (a rename would replace in silence, a link does not)."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        if path.exists():  # a file system without hard links
            raise FileExistsError(errno.EEXIST, "File exists", str(path)) from None
        os.replace(temporary, path)


def keep_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the system lets a folder be synchronised."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def keep_backup(path: Path, data: bytes) -> Path:
    """Save ``data`` as ``train.py.bak``, or ``train.py.bak1``, ``.bak2``, ... where that name is taken.

    Raises:
        FileProblem: it could not be written.
    """
    number = 0
    while True:
        backup = path.with_name(f"{path.name}.bak{number or ''}")
        if not os.path.lexists(backup):
            try:
                write_file(backup, data, like=path)
                return backup
            except FileProblem:
                if not os.path.lexists(backup):
                    raise
        number += 1


@contextmanager
def passing_neighbour(path: Path, data: bytes) -> Iterator[Path]:
    """A file beside ``path`` for as long as the block runs, with an importable name that nobody has.

    Raises:
        FileProblem: the folder does not take it.
    """
    number = 0
    while os.path.lexists(neighbour := path.with_name(f"{path.stem}_candidate{number or ''}{path.suffix}")):
        number += 1
    write_file(neighbour, data, like=path)
    try:
        yield neighbour
    finally:
        neighbour.unlink(missing_ok=True)


def replace_source(source: Source, data: bytes) -> Path:
    """Put ``data`` in the place of a script, after saving the original beside it. Returns the backup's path.

    Raises:
        FileProblem: the script was changed since it was read, or cannot be written; it stays as it is.
    """
    assert source.path is not None, "standard input has no file to replace"
    try:
        now = source.path.read_bytes()
    except OSError as error:
        raise FileProblem(source.name, f"cannot be read any more: {reason(error)}.") from None
    if now != source.data:
        raise FileProblem(
            source.name, "was changed while it was being converted; it stays as it is.", remedy="convert again."
        )
    backup = keep_backup(source.path, source.data)
    write_file(source.path, data, replace=True)
    return backup

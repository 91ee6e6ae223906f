"""``[tool.torchlift]`` of pyproject.toml: what a project wants of every conversion.

The nearest pyproject.toml above a script that has the table counts, whole; what the command line says goes before it.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from torchlift_convert.cli.choice import Choice, NoSuchCode, codes
from torchlift_convert.files import FileProblem, reason
from torchlift_convert.types import Target

NAME = "pyproject.toml"
TABLE = "torchlift"


@dataclass(frozen=True)
class Settings:
    """One field for each key of the table, ``fail_on`` for ``fail-on``. None: not said."""

    target: Target | None = None
    select: tuple[str, ...] | None = None
    ignore: tuple[str, ...] | None = None
    fail_on: tuple[str, ...] | None = None

    def over(self, other: Settings) -> Settings:
        """These, and where they say nothing, the others'."""
        said = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        return replace(other, **said)

    @property
    def choice(self) -> Choice:
        usual = Choice()
        return Choice(
            usual.select if self.select is None else self.select, self.ignore or (), self.fail_on or usual.fail_on
        )


def settings_for(path: str, *, isolated: bool = False) -> Settings:
    """What the project of a script (of this folder, for standard input) wants.

    Raises:
        FileProblem: the table says something that is not known.
    """
    if isolated:
        return Settings()
    folder = Path.cwd() if path == "-" else Path(path).absolute().parent
    return _of_folder(folder)


@cache
def _of_folder(folder: Path) -> Settings:
    """Remembered for one run: the command line is a process of its own."""
    found = _read(folder / NAME)
    if found is not None:
        return found
    return _of_folder(folder.parent) if folder.parent != folder else Settings()


def _read(path: Path) -> Settings | None:
    """The settings in a file, None when it is not there or has no such table."""
    import tomllib

    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise FileProblem(str(path), f"cannot be read: {reason(error)}.", remedy="or add --isolated.") from None
    if TABLE.encode() not in data:
        return None
    try:
        table = tomllib.loads(data.decode("utf-8")).get("tool", {}).get(TABLE)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileProblem(str(path), f"is not TOML: {error}.", remedy="mend it, or add --isolated.") from None
    return None if table is None else parse(str(path), table)


def parse(name: str, table: Any) -> Settings:
    """Read the table.

    Raises:
        FileProblem: it has a key that is not known, or a value of another kind.
    """
    keys = [field.name.replace("_", "-") for field in fields(Settings)]
    if not isinstance(table, dict):
        raise FileProblem(name, f"tool.{TABLE} is not a table.", remedy=f"write [tool.{TABLE}].")
    said: dict[str, Any] = {}
    for key, value in table.items():
        if key not in keys:
            near = difflib.get_close_matches(key.replace("_", "-"), keys, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(keys)}."
            raise FileProblem(name, f"[tool.{TABLE}] has no key {key!r}.", remedy=hint)
        said[key.replace("-", "_")] = _target(name, value) if key == "target" else _codes(name, key, value)
    return Settings(**said)


def _target(name: str, value: Any) -> Target:
    if value not in list(Target):
        raise FileProblem(name, f"[tool.{TABLE}] target is {value!r}.", remedy=f"choose {' or '.join(Target)}.")
    return Target(value)


def _codes(name: str, key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(v, str) for v in value):
        raise FileProblem(name, f"[tool.{TABLE}] {key} is no list of texts.", remedy=f'write {key} = ["TL302"].')
    try:
        return codes(value)
    except NoSuchCode as error:
        raise FileProblem(name, f"[tool.{TABLE}] {key}: {error}") from None

"""Files that were not written for the converter: a sample of what is installed, with files that call ``backward()``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

SPECIFICATION = importlib.util.spec_from_file_location("everyfile_run", Path(__file__).with_name("run.py"))
assert SPECIFICATION is not None and SPECIFICATION.loader is not None
everyfile = importlib.util.module_from_spec(SPECIFICATION)
sys.modules[SPECIFICATION.name] = everyfile  # where its dataclasses look their annotations up
SPECIFICATION.loader.exec_module(everyfile)

SMALL = 8_000  # bytes; `make everyfile` takes the larger ones and all the others as well
EVERY = 499


def test_no_file_that_is_installed_crashes_the_converter() -> None:
    paths = [p for p in everyfile.every_file(everyfile.installed()) if p.stat().st_size < SMALL]
    training = [p for p in paths if b".backward(" in p.read_bytes()]
    given = [everyfile.answer(p) for p in dict.fromkeys([*paths[::EVERY], *training])]
    assert {a.path: a.crash for a in given if a.crash} == {}
    assert {"no-loop", "refused"} <= {a.status for a in given}


def test_a_bug_is_told_with_its_traceback(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    def broken(source: bytes, options: object) -> None:
        raise KeyError("of ours")

    monkeypatch.setattr(everyfile, "convert", broken)
    (tmp_path / "a.py").write_text("x = 1\n")
    one = everyfile.answer(tmp_path / "a.py")
    assert one.status == "crash" and "KeyError: 'of ours'" in one.crash

"""The measuring tool, run as `make corpus` runs it, against a harness of a few lines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run.py")

# The two files of a harness, with its command line: every result is exact, except for a converter called "wrong".
SHARED = """
import json, pathlib
def load(manifest, only):
    entries = json.loads((pathlib.Path(__file__).parent / "entries.json").read_text())
    return [e for e in entries if not only or e["id"] in only.split(",")]
def script_of(entry): return entry["script"]
def printed(text): return text.splitlines()
"""
COMPARE = """
import argparse, json, pathlib, corpus
p = argparse.ArgumentParser()
for name in ("src", "work", "jobs", "python", "converter", "json", "only"): p.add_argument("--" + name)
p.add_argument("--fast", action="store_true")
a = p.parse_args()
rows = []
for e in corpus.load(None, a.only):
    same = a.converter != "wrong"
    for folder in ("traces", "ctraces"):
        (pathlib.Path(a.work) / folder).mkdir(exist_ok=True)
        (pathlib.Path(a.work) / folder / (e["id"] + ".printed")).write_text("epoch 1\\n")
    compared = dict(steps=[4, 4], identical=same, first_div=None if same else 2, what="weights", buffers=True,
                    printed=True, outside_fit=0, per_call=0, manual=False)
    if a.converter == "shy":
        place = pathlib.Path(a.work).resolve() / "conv" / e["id"] / "deep" / "train.py"
        rows.append(dict(id=e["id"], verdict="refused", convert_rc=1, message=f"{place}: not this one"))
        continue
    fine = dict(verdict="converted", convert_rc=0, lit=True, syntax=None, ran=True, run_rc=0)
    rows.append(dict(fine, id=e["id"], cmp=compared))
print("chatter")
pathlib.Path(a.json).write_text(json.dumps(rows))
"""


@pytest.fixture
def harness(tmp_path: Path) -> Path:
    folder = tmp_path / "harness"
    folder.mkdir()
    (tmp_path / "src").mkdir()
    (folder / "corpus.py").write_text(SHARED)
    (folder / "compare.py").write_text(COMPARE)
    entries = [
        {"id": name, "repo": "owner/name", "script": f"{name}.py", "expect": "convert"} for name in ("one", "two")
    ]
    (folder / "entries.json").write_text(json.dumps(entries))
    return folder


def _run(harness: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    where = ["--corpus", str(harness), "--src", str(harness.parent / "src"), "--work", str(harness.parent / "work")]
    return subprocess.run([sys.executable, str(RUN), *where, *arguments], capture_output=True, text=True)


def test_writes_the_page_where_told(harness: Path) -> None:
    page = harness.parent / "docs" / "page.md"
    done = _run(harness, "--converter", "another", "--output", str(page))
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "| **one** owner/name: one.py |" in page.read_text()
    assert "exact, 4 steps" in page.read_text()


def test_part_of_the_corpus_is_printed_and_written_nowhere(harness: Path) -> None:
    done = _run(harness, "--converter", "another", "--only", "two")
    assert done.returncode == 0, done.stderr
    assert "**two**" in done.stdout and "**one**" not in done.stdout and "chatter" not in done.stdout


def test_wrong_numbers_decide_the_exit_code(harness: Path) -> None:
    done = _run(harness, "--converter", "wrong", "--only", "one")
    assert done.returncode == 1
    assert "**one**: differs: weights at step 2" in done.stdout
    assert "wrong: one" in done.stderr


def test_a_reason_does_not_tell_where_the_copies_lie(harness: Path) -> None:
    done = _run(harness, "--converter", "shy", "--only", "one")
    assert "| deep/train.py: not this one |" in done.stdout
    assert str(harness.parent) not in done.stdout


def test_input_that_cannot_be_used_gets_a_sentence(harness: Path, tmp_path: Path) -> None:
    (harness / "compare.py").unlink()
    done = _run(harness)
    assert done.returncode == 2
    assert "holds no compare.py" in done.stderr and "Traceback" not in done.stderr

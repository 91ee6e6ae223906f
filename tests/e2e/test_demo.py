"""What `make demo` shows: the sample converts, both versions run, the verdict is exact, the report is there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_demo_ends_with_an_exact_verdict(tmp_path: Path) -> None:
    sample = REPOSITORY / "samples" / "digits_mlp" / "train.py"
    untouched = sample.read_bytes()
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "samples" / "demo.py")],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The printed lines are the same." in done.stdout
    assert "\nexact over the whole run" in done.stdout
    report = re.search(r"^Verdict and both traces: +(.+)$", done.stdout, re.MULTILINE)
    assert report and json.loads(Path(report[1]).read_text(encoding="utf-8"))
    assert sample.read_bytes() == untouched

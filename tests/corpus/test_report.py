"""The page on public scripts says what was measured, and puts what is wrong on top."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("corpus_report", Path(__file__).with_name("report.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


report = _load()
Outcome, Details = report.Outcome, report.Details

# As compare.py writes it: an exact script, a wrong one, a toy, a refusal, a crash, one that was not run.
RESULTS = json.loads("""
{
 "good":  {"verdict": "converted", "convert_rc": 0, "lit": true, "syntax": null, "ran": true, "run_rc": 0,
           "cmp": {"steps": [8, 8], "identical": true, "first_div": null, "what": "", "buffers": true, "printed": true,
                   "outside_fit": 0, "per_call": 0, "manual": false}},
 "wrong": {"verdict": "converted", "convert_rc": 0, "lit": true, "syntax": null, "ran": true, "run_rc": 0,
           "cmp": {"steps": [8, 7], "identical": false, "first_div": 3, "what": "loss", "buffers": true,
                   "printed": false, "outside_fit": 0, "per_call": 1, "manual": true}},
 "toy":   {"verdict": "converted", "convert_rc": 0, "lit": true, "syntax": null, "ran": true, "run_rc": 0,
           "cmp": {"steps": [8, 8], "identical": true, "first_div": null, "what": "", "buffers": true, "printed": true,
                   "outside_fit": 8, "per_call": 0, "manual": false}},
 "no":    {"verdict": "refused", "convert_rc": 1, "message": "cannot carry | this over"},
 "crash": {"verdict": "crash", "convert_rc": 1, "message": "KeyError: 'x'"},
 "idle":  {"verdict": "converted", "convert_rc": 0, "lit": true, "syntax": null}
}
""")


def _entry(name: str, expect: str = "convert") -> dict[str, Any]:
    return {"id": name, "repo": "owner/name", "root": "a", "script": "train.py", "commit": "0123456789abcdef",
            "tags": ["toplevel", "gan"], "expect": expect, "original": {"backwards": 5}}  # fmt: skip


def _row(name: str, expect: str = "convert", **changes: Any) -> Any:
    return report.build_row(_entry(name, expect), RESULTS[name] | changes)


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("good", Outcome.EXACT),
        ("wrong", Outcome.DIFFERS),
        ("toy", Outcome.TOY),
        ("no", Outcome.REFUSED),
        ("crash", Outcome.CRASH),
        ("idle", Outcome.NOT_RUN),
    ],
)
def test_each_result_gets_its_outcome(name: str, outcome: Any) -> None:
    assert _row(name).outcome is outcome


def test_a_loop_copied_whole_into_one_training_step_is_a_toy() -> None:
    assert _row("good", cmp=RESULTS["good"]["cmp"] | {"per_call": 13}).outcome is Outcome.TOY
    assert _row("good", cmp=RESULTS["good"]["cmp"] | {"per_call": 12}).outcome is Outcome.EXACT


def test_a_result_that_does_not_run_or_parse_has_failed() -> None:
    assert _row("good", ran=False, run_rc=1, run_error="NameError: x").said.endswith("NameError: x")
    assert _row("good", ran=False).outcome is Outcome.FAILED
    assert _row("good", syntax="line 3: invalid syntax").outcome is Outcome.FAILED


def test_no_file_with_exit_code_zero_is_no_refusal() -> None:
    assert _row("no", convert_rc=0).outcome is Outcome.CRASH


def test_a_copy_without_the_framework_is_no_conversion() -> None:
    assert _row("good", lit=False).outcome is Outcome.UNCHANGED


def test_without_an_optimizer_the_backward_calls_count() -> None:
    compared = RESULTS["good"]["cmp"] | {"steps": [0, 0]}
    row = report.build_row(_entry("good"), RESULTS["good"] | {"cmp": compared}, Details(optimization="manual"))
    assert row.said == "exact, 5 backward calls (no optimizer: a toy would not show)"
    assert row.optimization == "manual"


@pytest.mark.parametrize(
    ("name", "expect", "met"),
    [
        ("good", "convert", True),
        ("good", "manual", True),
        ("good", "either", True),
        ("good", "refuse", False),
        ("no", "refuse", True),
        ("no", "either", True),
        ("no", "convert", False),
        ("no", "manual", False),
        ("wrong", "convert", False),
        ("toy", "either", False),
        ("crash", "refuse", False),
    ],
)
def test_expectations(name: str, expect: str, met: bool) -> None:
    assert _row(name, expect).as_expected is met


def test_alarms_name_what_must_not_stay() -> None:
    assert _row("good").alarms == ()
    assert _row("no").alarms == ()  # a refusal is never a wrong result
    assert _row("wrong").alarms == ("differs: loss at step 3 (8 -> 7 steps)",)
    assert len(_row("good", "refuse").alarms) == 1
    compared = RESULTS["good"]["cmp"] | {"buffers": False}
    assert "buffers" in _row("good", cmp=compared).alarms[0]
    assert "printed" in report.build_row(_entry("good"), RESULTS["good"], printed="no: line 4").alarms[0]


def test_printed_lines_that_the_original_does_not_repeat_are_excepted() -> None:
    verdict = report.printed_verdict
    assert verdict(["a", "b"], ["a", "b"], ["a", "b"]) == "yes"
    assert verdict(["a", "b"], ["a", "b"], ["a", "c"]) == "no: line 2"
    assert verdict(["a", "t1"], ["a", "t2"], ["a", "t3"]) == "yes, but for 1 that never repeat"
    assert verdict(["a", "t1"], ["a", "t2"], ["x", "t3"]) == "no: line 1"
    assert verdict(["a"], ["a"], ["a", "more"]) == "no: line 2"
    assert verdict(["a", "t1"], ["a", "t2"], ["a"]) == "no: line 2"


def test_the_page_has_wrong_results_on_top_and_counts_apart() -> None:
    rows = [_row(name, "refuse" if name == "no" else "convert") for name in RESULTS]
    page = report.markdown(rows)
    top, rest = page.split("## Summary")
    assert "**wrong**" in top and "**toy**" in top and "**crash**" in top
    assert "**good**" not in top and "**no**" not in top
    assert "| exact: every loss and weight equal bit for bit, automatic optimization | 1 | 1 |" in rest
    assert "| refused, with a reason | 1 | 1 |" in rest
    assert "| all | 6 | 3 |" in rest
    assert "cannot carry \\| this over" in rest  # a bar in a reason must not split the cell
    assert "- `owner/name` at `0123456789ab`" in rest
    assert "(not met)" in next(line for line in rest.splitlines() if line.startswith("| **wrong**"))


def test_a_page_without_alarms_says_so() -> None:
    assert "None: no other numbers" in report.markdown([_row("good"), _row("no", "refuse")])


def test_manual_and_automatic_are_told_apart() -> None:
    manual = _row("good", cmp=RESULTS["good"]["cmp"] | {"manual": True})
    page = report.markdown([_row("good"), manual])
    assert "automatic optimization | 1 |" in page and "manual optimization | 1 |" in page


def test_the_refusal_of_the_converter_itself_is_what_the_table_says() -> None:
    row = report.build_row(_entry("no", "refuse"), RESULTS["no"], Details(refusal="TL105 line 7: two loops"))
    assert row.said == "TL105 line 7: two loops"
    assert "TL105 line 7: two loops" in report.markdown([row])

"""What scripts say to torchlift in comments, and what comes of it."""

from __future__ import annotations

import pytest

from torchlift_convert.api import convert
from torchlift_convert.directives import read
from torchlift_convert.types import Proof, Severity, Span, Status

EVALUATED = """
import torch
from torch.utils.data import DataLoader, TensorDataset

model = torch.nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
loader = DataLoader(TensorDataset(torch.randn(64, 4), torch.randn(64, 1)), batch_size=8)
for epoch in range(3):
    for x, y in loader:
        loss = torch.nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
"""
TWICE = EVALUATED.replace("model.eval()", "while loss > 1:\n        loss.backward()")


def said(source: str) -> list[tuple[str, int]]:
    return [(d.code, d.span.first) for d in convert(source).diagnostics]


# --- reading ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "codes", "about"),
    [
        ("x = 1  # torchlift: ignore[TL302]\n", ["TL302"], Span(1, 1)),
        ("x = 1  #torchlift:ignore[ TL302,TL310 ]\n", ["TL302", "TL310"], Span(1, 1)),
        ("x = 1  # noqa  # torchlift: ignore[TL302] because\n", ["TL302"], Span(1, 1)),
        ("x = 1  # torchlift: ignore[TL302]  # noqa\n", ["TL302"], Span(1, 1)),
        ("x = f(\n    1,  # torchlift: ignore[TL302]\n)\n", ["TL302"], Span(1, 3)),
        ("for x in (\n    1,\n):  # torchlift: ignore[TL302]\n    pass\n", ["TL302"], Span(1, 3)),
        ("for x in y:\n    pass  # torchlift: ignore[TL302]\n", ["TL302"], Span(2, 2)),
        ("\n\n@f\ndef g(): pass  # torchlift: ignore[TL302]", ["TL302"], Span(4, 4)),
    ],
)
def test_an_ignore_is_about_its_statement(text: str, codes: list[str], about: Span) -> None:
    found = read(text)
    assert [i.code for i in found.ignores] == codes
    assert {i.about for i in found.ignores} == {about}
    assert found.unclear == () and not found.skip


@pytest.mark.parametrize(
    "text",
    [
        's = "# torchlift: ignore[TL302]"\n',
        '"""\n# torchlift: skip-file\n"""\n',
        "x = 1  # see torchlift: it converts\n",
        "x = 1  # pytorchlift: ignore[TL302]\n",
    ],
)
def test_other_text_says_nothing(text: str) -> None:
    found = read(text)
    assert (found.ignores, found.unclear, found.skip) == ((), (), False)


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("x = 1  # torchlift: ignore\n", "names no code", "Name it: "),
        ("x = 1  # torchlift: ignore[]\n", "names no code", "Name it: "),
        ("x = 1  # torchlift: ignore[TL3O2]\n", "no code 'TL3O2'", "Did you mean TL302?"),
        ("x = 1  # torchlift: ignore[TL3]\n", "no code 'TL3'", ""),
        ("x = 1  # torchlift: ingore[TL302]\n", "says 'ingore'", "Did you mean ignore?"),
        ("x = 1  # torchlift: !\n", "says ''", "`torchlift explain TL911`"),
        ("x = 1  # torchlift: skip-file\n", "is about the whole file", "Put it on a line of its own."),
        ("# torchlift: ignore[TL302]\nx = 1\n", "on a line without code", "Put it at the end of the line meant."),
    ],
)
def test_what_is_not_understood_is_told(text: str, message: str, remedy: str) -> None:
    found = read(text)
    (told,) = found.unclear
    assert (told.code, told.severity) == ("TL911", Severity.NOTE)
    assert message in told.message and told.remedy.startswith(remedy)
    assert found.ignores == ()


@pytest.mark.parametrize(
    "text", ["# torchlift: skip-file\nx = 1\n", "def f():\n    # torchlift: skip-file please\n    x\n"]
)
def test_skip_file_stands_alone_on_its_line(text: str) -> None:
    assert read(text).skip


# --- findings and notes -------------------------------------------------------------------------------------------


def test_a_finding_is_not_told_where_its_line_ignores_it() -> None:
    assert said(EVALUATED) == [("TL310", 14)]
    quiet = EVALUATED.replace("model.eval()", "model.eval()  # torchlift: ignore[TL310] meant")
    assert said(quiet) == []
    loud, hushed = convert(EVALUATED).code, convert(quiet).code
    assert hushed is not None and loud == hushed.replace("  # torchlift: ignore[TL310] meant", "")


def test_an_ignore_on_another_line_or_of_another_code_does_nothing_and_is_told() -> None:
    elsewhere = EVALUATED.replace("optimizer.step()", "optimizer.step()  # torchlift: ignore[TL310]")
    assert said(elsewhere) == [("TL310", 14), ("TL910", 13)]
    other = EVALUATED.replace("model.eval()", "model.eval()  # torchlift: ignore[TL302]")
    assert said(other) == [("TL310", 14), ("TL910", 14)]


def test_of_two_codes_only_the_idle_one_is_told() -> None:
    both = EVALUATED.replace("model.eval()", "model.eval()  # torchlift: ignore[TL310, TL701]")
    (told,) = convert(both).diagnostics
    assert told.code == "TL910" and "TL701" in told.message


def test_a_comment_that_is_not_understood_is_told_beside_a_conversion() -> None:
    wrong = EVALUATED.replace("model.eval()", "model.eval()  # torchlift: ignore")
    assert said(wrong) == [("TL310", 14), ("TL911", 14)]
    assert convert(wrong).status is Status.CONVERTED


# --- refusals -----------------------------------------------------------------------------------------------------


def test_a_refusal_that_is_not_the_authors_to_settle_stands() -> None:
    refused = EVALUATED.replace("range(3)", "range(0, 9, 3)")
    ((code, line),) = said(refused)
    text = refused.replace("9, 3):", f"9, 3):  # torchlift: ignore[{code}]")
    result = convert(text)
    assert (result.status, result.code) == (Status.REFUSED, None)
    assert said(text) == [(code, line), ("TL910", line)]


def test_of_a_refused_script_other_ignores_are_not_called_idle() -> None:
    refused = EVALUATED.replace("range(3)", "range(0, 9, 3)").replace("eval()", "eval()  # torchlift: ignore[TL310]")
    assert [code for code, _ in said(refused)] == ["TL102"]


UNSEEN = EVALUATED.replace("    model.eval()\n", "").replace(
    "= DataLoader(", '= getattr(torch.utils.data, "DataLoader")('
)
CHANGED = UNSEEN.replace("in loader:\n", "in loader:\n        x += 1\n")
VOUCHED = UNSEEN.replace("in loader:", "in loader:  # torchlift: ignore[TL702]")


def test_a_word_is_taken_where_the_running_script_can_check_it() -> None:
    (refusal,) = convert(CHANGED).diagnostics
    assert refusal.code == "TL702" and refusal.claim
    assert convert(CHANGED.replace("in loader:", "in loader:  # torchlift: ignore[TL702]")).vouched
    assert not convert(UNSEEN).vouched  # a stream needs nobody's word
    result = convert(VOUCHED)
    assert (result.status, result.proof) == (Status.CONVERTED, Proof.VOUCHED)
    (word,) = result.vouched
    assert (word.code, word.span.first, word.claim) == ("TL702", 9, refusal.claim)
    assert [d.code for d in result.diagnostics] == ["TL701"]
    assert result.code is not None
    assert result.code.startswith("# Converted on the author's word (TL702, line 9 of the original; as_promised()")
    assert "fit(model, as_promised(loader))" in result.code
    assert any(fate.note.startswith("on the author's word") for fate in result.fates)


def test_the_heads_of_files_stay_where_they_are() -> None:
    result = convert("#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n# mine\n" + VOUCHED)
    assert result.code is not None
    lines = result.code.splitlines()
    assert lines[:2] == ["#!/usr/bin/env python", "# -*- coding: utf-8 -*-"]
    assert lines[2].startswith("# Converted on the author's word") and lines[4] == "# mine"


def test_the_helper_takes_a_name_that_is_free() -> None:
    result = convert(VOUCHED + "\ndef as_promised(x):\n    return x\n\nprint(as_promised(3))\n")
    assert result.code is not None and "fit(model, as_promised_2(loader))" in result.code


OTHERWISE = {
    "an iterator is no loader": VOUCHED.replace("in loader:", "in iter(loader):"),
    "a call, made anew in each epoch": VOUCHED.replace("in loader:", "in zip(loader, loader):"),
    "made anew in the loop": VOUCHED.replace("    for x", "    loader = getattr(torch, 'x')(loader)\n    for x"),
}


@pytest.mark.parametrize("source", OTHERWISE.values(), ids=OTHERWISE)
def test_a_word_is_not_asked_for_what_is_known_to_be_otherwise(source: str) -> None:
    result = convert(source)
    assert not result.vouched
    assert "TL910" in {d.code for d in result.diagnostics}


def test_a_file_that_asks_to_be_left_alone_is() -> None:
    result = convert("# torchlift: skip-file\n" + EVALUATED)
    assert (result.status, result.code, result.diagnostics) == (Status.SKIPPED, None, ())

"""The side-by-side view on a terminal, at the widths that people have."""

from __future__ import annotations

import io
import sys
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from torchlift_convert.cli import screen
from torchlift_convert.report import Answer, Verdict
from torchlift_convert.sidebyside import SideBySide, side_by_side
from torchlift_convert.types import Diagnostic, Fate, FateKind, Severity, Span

BEFORE = """\
import torch
rate = 0.1
for batch in loader:
\toptimizer.zero_grad(set_to_none=True)
    loss = criterion(model(batch), torch.nn.functional.one_hot(target, num_classes=10).float(), "語語語語語語")
    text = "\x1b[2J wipes the screen"
    clip(model)
sys.exit()
"""
AFTER = """\
import torch
import torchlift as L
    loss = self.criterion(self.model(batch), torch.nn.functional.one_hot(target, num_classes=10).float(), "語語語語")
rate = 0.1
"""
FATES = (
    Fate(Span(1, 1), FateKind.KEPT, "module", (Span(1, 1),)),
    Fate(Span(2, 2), FateKind.MOVED, "module", (Span(4, 4),)),
    Fate(Span(3, 3), FateKind.MERGED, "Lit.training_step"),
    Fate(Span(4, 4), FateKind.TRAINER, "automatic optimization"),
    Fate(Span(5, 5), FateKind.MOVED, "Lit.training_step", (Span(3, 3),)),
    Fate(Span(6, 6), FateKind.KEPT, "module"),
    Fate(Span(7, 7), FateKind.TRAINER, "Trainer(gradient_clip_val=1.0)"),
    Fate(Span(8, 8), FateKind.REFUSED, "", note="leaves the script"),
)
VIEW = side_by_side(
    ("train.py", BEFORE),
    ("train_lightning.py", AFTER),
    FATES,
    [Diagnostic("TL310", Severity.FINDING, "the model is never trained again", Span(4, 4))],
)


def printed(view: SideBySide, width: int, *, color: bool = False) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=color, color_system="standard" if color else None)
    screen.show(screen.rows(view, width), console)
    return out.getvalue().splitlines()


def test_it_reads_like_this_at_80_columns() -> None:
    assert printed(VIEW, 80) == [
        "train.py                                 train_lightning.py",
        "-" * 80,
        "1 import torch                         K 1 import torch",
        "2 rate = 0.1                           M   -> module, line 4",
        "3 for batch in loader:                 G   -> Lit.training_step",
        "4     optimizer.zero_grad(             T   -> done by automatic optimization",
        "        set_to_none=True)",
        "                                       + 2 import torchlift as L",
        "5     loss = criterion(model(batch),   M 3     loss = self.criterion(self.model(",
        "        torch.nn.functional.one_hot(             batch), torch.nn.functional",
        "        target, num_classes=10)                  .one_hot(target,",
        '        .float(), "語語語語語語")                num_classes=10).float(),',
        '                                                 "語語語語")',
        '6     text = "\N{REPLACEMENT CHARACTER}[2J wipes the screen"   K   -> module',
        "7     clip(model)                      T   -> done by Trainer(",
        "                                             gradient_clip_val=1.0)",
        "8 sys.exit()                           R   leaves the script",
        "  <- line 2                            M 4 rate = 0.1",
        "-" * 80,
        "8 statements: K 2 kept  M 2 moved  G 1 merged  T 2 done by the Trainer  R 1 refused  + generated",
        "",
        "Findings (kept as the original has them):",
        "train.py:4: TL310: the model is never trained again.",
    ]


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_no_row_is_wider_than_the_terminal_and_no_code_is_lost(width: int) -> None:
    lines = printed(VIEW, width)
    end = max(index for index, line in enumerate(lines) if line == "-" * width)
    assert all(cell_len(line) <= width for line in lines[:end])
    flat = "".join("".join(lines[:end]).split())
    for piece in ("optimizer.zero_grad(", "num_classes=10)", "importtorchliftasL", "clip(model)"):
        assert piece in flat or width < 80


def test_colour_adds_to_the_letters_and_replaces_none() -> None:
    coloured = printed(VIEW, 120, color=True)
    plain = printed(VIEW, 120)
    assert any("\x1b[36m" in line for line in coloured)  # cyan, moved
    assert not any("\x1b" in line for line in plain)  # a control character of the script neither
    assert {letter for line in plain for letter in screen.LETTERS.values() if f" {letter} " in line} == set("KMGTR")


def test_letters_are_distinct_and_cover_every_fate() -> None:
    letters = [screen.LETTERS[kind] for kind in FateKind] + [screen.GENERATED]
    assert len(set(letters)) == len(letters)
    assert set(screen.STYLES) == set(FateKind)


@pytest.mark.parametrize("answer", Answer)
def test_the_verdict_is_the_last_word(answer: Answer) -> None:
    assert list(screen.verdict(VIEW)) == []
    (line,) = screen.verdict(replace(VIEW, verdict=Verdict(answer, "what verify said")))
    assert line.plain == "verify: what verify said"
    assert line.style == screen.ANSWER_STYLES[answer]


def test_a_terminal_without_unicode_gets_question_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    screen.show(screen.rows(VIEW, 80), screen.console(80))
    sys.stdout.flush()
    assert b'.float(), "??????")' in raw.getvalue()

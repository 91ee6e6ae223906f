"""What a comparison concludes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from torchlift.verify.records import Site


class Answer(Enum):
    EXACT = "exact"
    DIFFERS = "differs"
    NOT_REPRODUCIBLE = "not reproducible by itself"
    ERROR = "error"


EXIT_CODES = {Answer.EXACT: 0, Answer.DIFFERS: 1, Answer.NOT_REPRODUCIBLE: 2, Answer.ERROR: 2}


@dataclass(frozen=True, slots=True)
class Side:
    """What one of the two runs has at the place of a difference; `text` is "" for nothing."""

    text: str
    site: Site | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not equal. `step` counts the optimizer steps completed before it (so it is the index, from
    0, of the step that it belongs to); None for what belongs to no step."""

    category: str
    step: int | None
    what: str
    before: Side
    after: Side


@dataclass(frozen=True, slots=True)
class Counts:
    """How much was compared."""

    steps: int = 0
    losses: int = 0
    lines: int = 0
    saves: int = 0
    scalars: int = 0
    files: int = 0
    logged: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`differences` has the first of each category, the earliest first; `causes` explain the earliest."""

    answer: Answer
    sentence: str
    counts: Counts = Counts()
    differences: tuple[Difference, ...] = ()
    causes: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.answer]

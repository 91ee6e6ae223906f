"""The records that pass between the stages of a conversion.

Every stage takes frozen records and returns new ones; nothing here reads a file or prints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, order=True)
class Span:
    """Lines ``first`` to ``last`` of a text, counted from 1, both ends included.

    Of a notebook: from line ``first`` of the cell ``cell`` to line ``last`` of the cell ``to``; cells count from 1,
    markdown included.
    """

    first: int
    last: int
    cell: int = 0  # 0: the text is no notebook's
    to: int = 0

    @property
    def order(self) -> tuple[int, int, int, int]:
        """For sorting places as they stand."""
        return self.cell, self.first, self.to, self.last

    @property
    def begins(self) -> str:
        """Where it begins: '41', or 'cell 7, line 3'."""
        return f"cell {self.cell}, line {self.first}" if self.cell else str(self.first)

    def __str__(self) -> str:
        if self.cell != self.to:
            return f"cells {self.cell}-{self.to}"
        if self.cell:
            return f"cell {self.cell}, {self.lines}"
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    @property
    def lines(self) -> str:
        """'line 3' or 'lines 3-5'."""
        return f"line {self.first}" if self.first == self.last else f"lines {self.first}-{self.last}"


class FateKind(StrEnum):
    """What became of one statement of the original."""

    KEPT = "kept"  # stands as it stood
    MOVED = "moved"  # stands in a hook, a method or a class, its names renamed where needed
    MERGED = "merged"  # its meaning is part of something generated (an argument, a property, a log call)
    TRAINER = "trainer"  # the Trainer does it
    REFUSED = "refused"  # left to the user


@dataclass(frozen=True)
class Fate:
    """Where one statement of the original went.

    ``where`` names the place in the output as a reader would (``LitNet.training_step``,
    ``Trainer(gradient_clip_val=1.0)``); ``targets`` are the lines of the output, none when nothing was written for it.
    """

    source: Span
    kind: FateKind
    where: str
    targets: tuple[Span, ...] = ()
    note: str = ""
    file: str = ""  # of ``source``, as in Diagnostic


class Severity(StrEnum):
    REFUSAL = "refusal"  # nothing is written
    FINDING = "finding"  # kept bug for bug, worth a look
    NOTE = "note"  # said so that nobody is surprised


@dataclass(frozen=True)
class Diagnostic:
    """One thing to tell the user: what, where, and what to do about it."""

    code: str  # TLnnn, stable
    severity: Severity
    message: str
    span: Span
    remedy: str = ""
    claim: str = ""  # of a refusal that the author's word would take back: what the word would say
    file: str = ""  # a local module that the span is in; none: the script


@dataclass(frozen=True)
class Vouch:
    """The author's word in place of a proof: ``ignore[code]`` on a line that would be refused otherwise."""

    code: str
    span: Span
    claim: str
    file: str = ""  # as in Diagnostic


class Proof(StrEnum):
    """How much is known about the numbers of the converted script."""

    EXACT = "exact"  # both were run and compared
    BY_CONSTRUCTION = "exact-by-construction"  # every step of the conversion preserves the numbers
    VOUCHED = "on-your-word"  # the same, if what the author vouches for holds; the script checks it when it runs
    REORDERED = "reordered"  # same mathematics, other order of random draws
    REFUSED = "refused"


class Status(StrEnum):
    CONVERTED = "converted"
    REFUSED = "refused"  # a training loop that cannot be carried over
    NO_LOOP = "no-loop"  # nothing to convert
    ALREADY = "already-lightning"
    SKIPPED = "skipped"  # the file asks to be left alone
    UNREADABLE = "unreadable"  # not Python, does not parse


class Optimization(StrEnum):
    AUTOMATIC = "automatic"
    MANUAL = "manual"


class Target(StrEnum):
    """The framework that the generated code imports as ``L``."""

    TORCHLIFT = "torchlift"
    LIGHTNING = "lightning"


class Direction(StrEnum):
    """Which way a script goes."""

    CONVERT = "convert"  # from a plain loop to Lightning
    EJECT = "eject"  # back


@dataclass(frozen=True)
class Project:
    """Where the local modules of a script are found.

    ``read`` gives a file below the project's root by its path (with slashes), None where there is none; ``path`` is the
    script's own. ``roots``: folders in which its imports are looked up, in order; ``package``: the one it stands in.
    """

    read: Callable[[str], bytes | None]
    path: str
    roots: tuple[str, ...] = ("",)
    package: str = ""


@dataclass(frozen=True)
class Options:
    """What the user may choose about a conversion. ``project``: None when the script stands alone."""

    target: Target = Target.TORCHLIFT
    filename: str = "train.py"  # used in messages only
    vouched: frozenset[tuple[str, int]] = frozenset()  # codes and lines, as ignore[...] in the script would name them
    project: Project | None = None


@dataclass(frozen=True)
class Became:
    """One line of the report: this part of the original became that part of the output."""

    source: str  # 'train(): the batch loop'
    span: Span
    target: str  # 'LitNet.training_step'
    file: str = ""  # as in Diagnostic


@dataclass(frozen=True)
class Cells:
    """A converted notebook for showing: both as scripts, the fates in lines of these, and where each line stands."""

    before: str
    after: str
    fates: tuple[Fate, ...]
    places: tuple[Span, ...]  # of each line of ``after``
    order: str = ""  # in which order the cells are taken to run, in words


@dataclass(frozen=True)
class Result:
    """The outcome of one conversion. ``code`` is the whole new file, or None when nothing was written."""

    status: Status
    proof: Proof = Proof.REFUSED
    code: str | None = None
    optimization: Optimization | None = None
    datamodule: str | None = None  # name of the generated LightningDataModule, if there is one
    module: str | None = None  # name of the generated LightningModule
    became: tuple[Became, ...] = ()
    fates: tuple[Fate, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    vouched: tuple[Vouch, ...] = ()
    hidden: bool = False  # refused, because nothing at the file's top level leads to the training in it
    cells: Cells | None = None  # of a notebook

    @property
    def refusals(self) -> tuple[Diagnostic, ...]:
        return tuple(d for d in self.diagnostics if d.severity is Severity.REFUSAL)

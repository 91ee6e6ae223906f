"""A notebook through the converter: as one script, and back into its cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from torchlift_convert.notebooks.document import Notebook, NotNotebook, read
from torchlift_convert.notebooks.flat import Flat, flatten
from torchlift_convert.notebooks.history import order_of, reads_history
from torchlift_convert.notebooks.rebuild import Lost, Rebuilt, rebuild
from torchlift_convert.syntax import Unreadable, python_tree
from torchlift_convert.types import Cells, Diagnostic, Fate, Options, Proof, Result, Severity, Span, Status

Converter = Callable[[str | bytes, Options], Result]


def through_cells(source: str | bytes, options: Options, convert: Converter) -> Result:
    """Convert a notebook.

    A notebook is taken to run from its first cell to its last, each once, in one process.

    Args:
        source: the text of the file.
        options: as of a script.
        convert: what converts the notebook's script.

    Returns:
        A Result whose ``code`` is a notebook, and whose spans name cells and their lines. ``cells`` has both notebooks
        as scripts, with the ledger in their lines.
    """
    try:
        notebook = read(source if isinstance(source, str) else source.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return _unusable("This is no notebook: its text is not UTF-8.")
    except NotNotebook as problem:
        return _unusable(str(problem), problem.remedy)
    flat = flatten(notebook)
    broken = _broken_cell(flat)
    if broken is not None and _parses(flat.text):
        return _in_cells(broken, flat)
    result = convert(flat.text, _without_written(options, flat))
    if broken is not None and result.status is Status.UNREADABLE:
        result = broken
    if result.status is Status.CONVERTED and result.code is not None:
        try:
            refusal = reads_history(flat)
            result = refusal if refusal is not None else _rebuilt(result, notebook, flat)
        except Lost as lost:
            result = _refused(lost, flat)
    return _in_cells(result, flat)


def _rebuilt(result: Result, notebook: Notebook, flat: Flat) -> Result:
    assert result.code is not None
    own = {target.first: fate.source.first for fate in result.fates for target in fate.targets}
    rebuilt = rebuild(notebook, flat, result.code, own)
    marks = {number for number, line in enumerate(flat.lines, 1) if line.line == 0}
    told = tuple(f for f in result.fates if f.file or f.source.first not in marks)
    fates = tuple(replace(f, targets=_targets(f.targets, rebuilt)) for f in told)
    places = tuple(Span(line, line, cell, cell) for cell, line in rebuilt.places)
    cells = Cells(flat.shown, rebuilt.shown, fates, places, order_of(notebook))
    return replace(result, code=notebook.written(rebuilt.sources), fates=fates, cells=cells)


def _targets(targets: Iterable[Span], rebuilt: Rebuilt) -> tuple[Span, ...]:
    """Spans of the converted script, as spans of what is shown."""
    found: list[Span] = []
    for target in targets:
        lines = [rebuilt.lines[n] for n in range(target.first, target.last + 1) if n in rebuilt.lines]
        if lines:
            found.append(Span(min(lines), max(lines)))
    return tuple(found)


def _in_cells(result: Result, flat: Flat) -> Result:
    """A result about the script, as one about the cells."""

    def placed(record: Any) -> Any:
        return record if record.file else replace(record, span=_span(record.span, flat))

    return replace(
        result,
        became=tuple(map(placed, result.became)),
        fates=tuple(_fate(f, flat, result.cells) for f in result.fates),
        diagnostics=tuple(replace(placed(d), message=worded(d.message, flat)) for d in result.diagnostics),
        vouched=tuple(map(placed, result.vouched)),
    )


def _fate(fate: Fate, flat: Flat, cells: Cells | None) -> Fate:
    targets = fate.targets
    if cells is not None:
        places = cells.places
        targets = tuple(
            Span(places[t.first - 1].first, places[t.last - 1].first, places[t.first - 1].cell, places[t.last - 1].cell)
            for t in targets
        )
    return replace(fate, source=fate.source if fate.file else _span(fate.source, flat), targets=targets)


def _span(span: Span, flat: Flat) -> Span:
    cell, first = flat.place(span.first)
    to, last = flat.place(span.last)
    return Span(first, last if to != cell else max(first, last), cell, to)


def worded(sentence: str, flat: Flat) -> str:
    """A sentence that speaks of lines of the script, speaking of those of cells."""

    def place(number: re.Match[str]) -> str:
        cell, line = flat.place(int(number[0]))
        return f"line {line} of cell {cell}"

    said = r"\blines? \d+(?:(?:, | and |-)\d+)*(?! of )"
    return re.sub(said, lambda found: re.sub(r"\d+", place, re.sub(r"^lines? ", "", found[0])), sentence)


def _broken_cell(flat: Flat) -> Result | None:
    """What is said of a cell that is no Python by itself."""
    lines = flat.text.split("\n")
    for first, last in flat.bodies.values():
        try:
            python_tree("\n" * (first - 1) + "\n".join(lines[first - 1 : last]) + "\n")
        except Unreadable as error:
            return _unusable(str(error), line=min(error.line or first, last))
    return None


def _parses(text: str) -> bool:
    try:
        python_tree(text)
    except Unreadable:
        return False
    return True


def _unusable(message: str, remedy: str = "", line: int = 1) -> Result:
    said = Diagnostic("TL902", Severity.REFUSAL, message, Span(line, line), remedy)
    return Result(Status.UNREADABLE, diagnostics=(said,))


def _refused(lost: Lost, flat: Flat) -> Result:
    magic = flat.magics[lost.number]
    first = magic.text.strip().split("\n")[0]
    said = f'"{flat.mark} {lost.number}"'
    line = next(
        (
            n
            for n, text in enumerate(flat.text.split("\n"), 1)
            if said in text or text.endswith(f"# {flat.mark} {lost.number}")
        ),
        1,
    )
    return Result(
        Status.REFUSED,
        Proof.REFUSED,
        diagnostics=(
            Diagnostic(
                "TL120",
                Severity.REFUSAL,
                f"The magic {first} would stand where it does not do the same, or reads what has another name now.",
                Span(line, line),
                "Move it to a cell of its own behind the training, or take it out.",
            ),
        ),
    )


def _without_written(options: Options, flat: Flat) -> Options:
    """Modules that the notebook itself writes are not what lies on the disk now."""
    names = {
        m.text.split("\n")[0].split()[-1]
        for m in flat.magics
        if m.text.startswith(("%%writefile ", "%%file ")) and len(m.text.split("\n")[0].split()) > 1
    }
    project = options.project
    if project is None or not names:
        return options
    inner = project.read
    ends = tuple(name.lstrip("./") for name in names)
    return replace(options, project=replace(project, read=lambda path: None if path.endswith(ends) else inner(path)))

"""What differs in what users read: printed lines, saved objects, scalars given to writers, files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from torchlift.verify.masks import masked, masked_lines
from torchlift.verify.records import Event, File, Site, Trace
from torchlift.verify.verdict import Difference, Side

# kind of event -> category of the difference, and how to name one
_READ = {
    "print": ("printed line", "printed line {number}"),
    "save": ("saved object", "what torch.save was given, object {number}"),
    "scalar": ("scalar", "what a writer was given, entry {number}"),
}


def differing_sequences(before: Trace, after: Trace, scope: int | None) -> Iterator[Difference]:
    """The first difference of each sequence. Beyond the `scope` one run may have come further than the other."""
    for kind, (category, name) in _READ.items():
        ours, theirs = before.of(kind), after.of(kind)
        for index in range(max(len(ours), len(theirs))):
            left = ours[index] if index < len(ours) else None
            right = theirs[index] if index < len(theirs) else None
            if not _differ(left, right, scope):
                continue
            step = min(event.step for event in (left, right) if event is not None)
            yield Difference(category, step, name.format(number=index + 1), _side(left), _side(right))
            break


def _differ(left: Event | None, right: Event | None, scope: int | None) -> bool:
    if left is None or right is None:
        event = left or right
        assert event is not None
        return scope is None or event.step < scope
    if scope is not None and min(left.step, right.step) > scope:
        return False
    if left.kind == "print":
        return left.value != right.value and masked(left.value) != masked(right.value)
    return (left.what, left.value) != (right.what, right.value)


def _side(event: Event | None) -> Side:
    if event is None:
        return Side("")
    if event.kind == "print":
        return Side(repr(event.value), event.site)
    shown = event.what if event.number is None else f"{event.what} = {event.number!r}"
    return Side(shown if event.number is not None else f"{shown} [{event.value}]", event.site)


def differing_around(before: Trace, after: Trace) -> Iterator[Difference]:
    """What went to standard output around sys.stdout (C code, child processes)."""
    ours, theirs = map(masked, before.around), map(masked, after.around)
    lines = list(ours), list(theirs)
    if lines[0] != lines[1]:
        at = _first_difference(*lines)
        sides = [Side(repr(side[at]) if at < len(side) else "") for side in lines]
        yield Difference("output", None, f"line {at + 1} of what child processes and C code print", *sides)


def differing_files(before: Trace, after: Trace, scope: int | None) -> Iterator[Difference]:
    """The first file, by name, that only one run wrote or that holds something else."""
    ours, theirs = _by_name(before.files), _by_name(after.files)
    for name in sorted(ours.keys() | theirs.keys()):
        left, right = ours.get(name), theirs.get(name)
        if _same(left, right) or (scope is not None and _excused(left, right, before, after, scope)):
            continue
        shown = left.path if left else right.path if right else ""
        sides = [
            Side(_content(file, other), _writer(run, shown))
            for file, other, run in ((left, right, before), (right, left, after))
        ]
        yield Difference("file", None, f"the file {shown}", *sides)
        return


def _by_name(files: tuple[File, ...]) -> dict[tuple[str, int], File]:
    """By name with its clocks masked, and a number where that makes two names equal."""
    seen: Counter[str] = Counter()
    found = {}
    for file in sorted(files, key=lambda file: file.path):
        name = masked(file.path)
        found[name, seen[name]] = file
        seen[name] += 1
    return found


def _same(left: File | None, right: File | None) -> bool:
    if left is None or right is None:
        return False
    if left.digest == right.digest:
        return True
    return left.text is not None and right.text is not None and masked_lines(left.text) == masked_lines(right.text)


def _excused(left: File | None, right: File | None, before: Trace, after: Trace, scope: int) -> bool:
    """Whether a file may differ because one of two unfinished runs came further than the other: it was written to
    after the last step compared, or holds the beginning of the other's text."""
    for run, file in ((before, left), (after, right)):
        if file is not None and any(
            e.step >= scope for e in run.events if e.kind in ("save", "write") and e.what == file.path
        ):
            return True
    if left is None or right is None or left.text is None or right.text is None:
        return False
    texts = masked(left.text), masked(right.text)
    return texts[0].startswith(texts[1]) or texts[1].startswith(texts[0])


def _content(file: File | None, other: File | None) -> str:
    if file is None:
        return ""
    if file.text is None or other is None or other.text is None:
        return file.digest
    lines = [masked_lines(side.text or "") for side in (file, other)]
    at = _first_difference(*lines)
    return f"line {at + 1}: {lines[0][at]!r}" if at < len(lines[0]) else f"ends before line {at + 1}"


def _first_difference(ours: list[str], theirs: list[str]) -> int:
    return next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))


def _writer(run: Trace, path: str) -> Site | None:
    found = [event.site for event in run.events if event.kind in ("save", "write") and event.what == path]
    return found[-1] if found else None

"""One script through ``torchlift diff``: the view that is shown, and what verify says of it. No screen, no typer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torchlift_convert import files
from torchlift_convert.cli.arguments import Format
from torchlift_convert.cli.choice import EVERYTHING, Choice
from torchlift_convert.cli.conversion import Converter, Prover, unified_diff
from torchlift_convert.cli.exits import EXIT_OF_STATUS, ExitCode
from torchlift_convert.files import FileProblem, Source
from torchlift_convert.projects import project_of
from torchlift_convert.report import Answer, Outcome, Verdict, failure_lines
from torchlift_convert.sidebyside import SideBySide, carry_over, side_by_side
from torchlift_convert.types import Fate, Options, Result, Status, Target

IN_MEMORY = "converted in memory"


@dataclass(frozen=True)
class Seen:
    """What there is to show.

    ``view`` is None when there is nothing to lay side by side, and then ``failure`` says why. ``before`` and ``after``
    are what verify can run: None when the original comes from standard input, or nothing was converted.
    """

    view: SideBySide | None
    exit: ExitCode
    failure: str = ""
    before: Source | None = None
    after: Source | None = None
    outcome: Outcome | None = None

    @property
    def runnable(self) -> bool:
        return self.before is not None and self.before.path is not None and self.after is not None


def compare(
    path: str, after_path: str | None, target: Target, converter: Converter, choice: Choice = EVERYTHING
) -> Seen:
    """Convert in memory, or read what was converted before, and lay both side by side."""
    try:
        before = files.read_source(path)
        given = None if after_path is None else files.read_source(after_path)
        project = project_of(before.path) if before.path is not None else None
        result = converter(before.data, Options(target, before.name, project=project))
        result = replace(result, diagnostics=choice.told(result.diagnostics))
        after = given
        if given is None and result.code is not None:
            after = files.as_source(IN_MEMORY, None, before.encode(result.code))
    except FileProblem as problem:
        outcome = Outcome(path, target, problem=problem)
        return Seen(None, ExitCode.UNUSABLE, str(problem), outcome=outcome)
    outcome = Outcome(before.name, target, result, output=None if given is None else given.name)
    if after is None and not result.fates:
        return Seen(None, EXIT_OF_STATUS[result.status], "\n".join(failure_lines(outcome)), outcome=outcome)
    fates = ledger_for(before, given, result)
    right = (after.name, shown(after, before.name)) if after is not None else ("not converted", "")
    view = side_by_side((before.name, shown(before, before.name)), right, fates, result.diagnostics)
    code = ExitCode.DONE if given is not None else EXIT_OF_STATUS[result.status]
    if code is ExitCode.DONE and choice.fails(result.diagnostics):
        code = ExitCode.LEFT
    return Seen(view, code, "", before, after, outcome)


def shown(source: Source, name: str) -> str:
    """What there is to read in a file: of a notebook its cells, one under the other."""
    if not files.is_notebook(name, source.data):
        return source.text
    from torchlift_convert.notebooks.document import NotNotebook, read
    from torchlift_convert.notebooks.flat import flatten

    try:
        return flatten(read(source.text.removeprefix("\ufeff"))).shown
    except NotNotebook as problem:
        raise FileProblem(source.name, str(problem), remedy=problem.remedy) from None


def ledger_for(before: Source, given: Source | None, result: Result) -> tuple[Fate, ...]:
    """The ledger of what is shown: the conversion's own, carried over to a file that was edited since; or none."""
    if result.cells is not None:
        if given is None:
            return result.cells.fates
        return carry_over(result.cells.fates, result.cells.after, shown(given, before.name))
    if given is None:
        return result.fates
    if result.code is None or result.status is not Status.CONVERTED:
        return ()
    generated = before.encode(result.code).decode(before.encoding)
    return result.fates if generated == given.text else carry_over(result.fates, generated, given.text)


def verdict_of(seen: Seen, prove: Prover) -> Verdict:
    """Run both. A result that is only in memory stands beside the original for as long as it runs."""
    assert seen.before is not None and seen.before.path is not None and seen.after is not None
    before = seen.before.path
    if seen.after.path is not None:
        return prove(before, seen.after.path)
    try:
        with files.passing_neighbour(before, seen.after.data) as candidate:
            return prove(before, candidate)
    except FileProblem as problem:
        return Verdict(Answer.NO_ANSWER, str(problem))


def patch(seen: Seen) -> str:
    """The change as a unified diff, '' where one side is missing."""
    if seen.before is None or seen.after is None:
        return ""
    return unified_diff(seen.before, seen.after.data).decode(seen.before.encoding.removesuffix("-sig"))


def document(seen: Seen, verdict: Verdict | None, exit: ExitCode, format: Format) -> str:
    """What there is to say in a format for programs and pages: convert's report, with the rows or the patch."""
    from torchlift_convert.cli import reporting

    assert seen.outcome is not None
    outcome = replace(seen.outcome, verdict=verdict)
    rows = seen.view.rows if seen.view is not None else ()
    return reporting.document([outcome], exit, format, patches=[patch(seen)], rows=[rows])


def exit_code(seen: Seen, verdict: Verdict | None) -> ExitCode:
    if verdict is None or seen.exit is not ExitCode.DONE:
        return seen.exit
    by_answer = {Answer.EXACT: ExitCode.DONE, Answer.DIFFERS: ExitCode.LEFT, Answer.NO_ANSWER: ExitCode.UNUSABLE}
    return by_answer[verdict.answer]

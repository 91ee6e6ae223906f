"""One script through ``torchlift convert``: read, convert, prove when asked to, write. No screen, no typer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from torchlift_convert import files
from torchlift_convert.cli.choice import EVERYTHING, Choice
from torchlift_convert.cli.exits import EXIT_OF_STATUS, ExitCode
from torchlift_convert.files import FileProblem, Source, Taken
from torchlift_convert.projects import project_of
from torchlift_convert.report import Answer, Outcome, Verdict
from torchlift_convert.types import Direction, Options, Result, Status, Target

Converter = Callable[[bytes, Options], Result]
Prover = Callable[[Path, Path], Verdict]


class Mode(StrEnum):
    WRITE = "write"  # a new file beside the original, or where -o says
    IN_PLACE = "in-place"  # the original's place, after a backup
    STDOUT = "stdout"
    DIFF = "diff"
    CHECK = "check"


@dataclass(frozen=True)
class Job:
    """What the user asked for.

    ``output`` is -o's value; ``force`` lets an existing output be replaced; ``root`` is the folder of the project, None
    when it has to be found.
    """

    path: str
    mode: Mode = Mode.WRITE
    output: str | None = None
    force: bool = False
    target: Target = Target.TORCHLIFT
    direction: Direction = Direction.CONVERT
    choice: Choice = EVERYTHING
    vouched: frozenset[tuple[str, int]] = frozenset()  # what the user has said, besides what the script says
    root: Path | None = None


@dataclass(frozen=True)
class Done:
    """A job's outcome, how the command ends, and what belongs on standard output beside the report, if anything."""

    outcome: Outcome
    exit: ExitCode
    product: bytes | None = None
    trace: str = ""  # of a bug of ours


def real_converter(source: bytes, options: Options) -> Result:
    """``api.convert``, imported (with libcst) when there is something to convert."""
    from torchlift_convert import api

    return in_cells(source, options, api.convert)


def real_ejector(source: bytes, options: Options) -> Result:
    """``eject.api.eject``, the way back."""
    from torchlift_convert.eject import api

    return in_cells(source, options, api.eject)


def in_cells(source: bytes, options: Options, convert: Callable[[str | bytes, Options], Result]) -> Result:
    """Convert a script, or the cells of a notebook as one."""
    if not files.is_notebook(options.filename, source):
        return convert(source, options)
    from torchlift_convert.notebooks.api import through_cells

    return through_cells(source, options, convert)


def run(job: Job, converter: Converter, prove: Prover | None = None) -> Done:
    """Do one job. Files change only on success, and each in one step.

    Args:
        job: what to do.
        converter: ``api.convert``.
        prove: runs both scripts and compares them; None when the user did not ask for it.
    """
    done = _run(job, converter, prove)
    failing = done.outcome.result is not None and job.choice.fails(done.outcome.result.diagnostics)
    return replace(done, exit=ExitCode.LEFT) if failing and done.exit is ExitCode.DONE else done


def _run(job: Job, converter: Converter, prove: Prover | None) -> Done:
    outcome = Outcome(job.path, job.target, direction=job.direction)
    try:
        source = files.read_source(job.path)
        outcome = replace(outcome, name=source.name)
        output = choose_output(job, source)
        project = project_of(source.path, job.root) if source.path is not None else None
        result = converter(source.data, Options(job.target, source.name, job.vouched, project))
        result = replace(result, diagnostics=job.choice.told(result.diagnostics))
        outcome = replace(outcome, result=result)
        if result.status is not Status.CONVERTED or result.code is None:
            return Done(outcome, exit_code(job.mode, outcome))
        data = source.encode(result.code)
        if job.mode is Mode.STDOUT:
            return Done(replace(outcome, output="standard output", written=True), ExitCode.DONE, data)
        if job.mode is Mode.DIFF:
            return Done(outcome, ExitCode.DONE, unified_diff(source, data, job.direction))
        if job.mode is Mode.CHECK:
            return Done(outcome, ExitCode.LEFT)
        assert output is not None
        write = write_in_place if job.mode is Mode.IN_PLACE else write_output
        outcome = write(job, outcome, source, output, data, prove)
    except FileProblem as problem:
        outcome = replace(outcome, problem=problem)
    return Done(outcome, exit_code(job.mode, outcome))


def choose_output(job: Job, source: Source) -> Path | None:
    """Where the result goes, None when no file is written.

    Raises:
        FileProblem: that place would cost the user a file, or cannot be written.
    """
    match job.mode:
        case Mode.IN_PLACE:
            assert source.path is not None
            files.check_output(source.path, source.name)
            return source.path
        case Mode.WRITE:
            output = (
                Path(job.output) if job.output is not None else files.default_output(Path(source.name), job.direction)
            )
            files.check_output(output, str(output))
            if source.path is not None and files.same_file(source.path, output):
                raise FileProblem(
                    str(output),
                    "this is the original itself, which is never overwritten.",
                    remedy="name another file with -o, or use --in-place, which keeps a backup.",
                )
            return output
    return None


def write_output(
    job: Job, outcome: Outcome, source: Source, output: Path, data: bytes, prove: Prover | None
) -> Outcome:
    """Write the new file, then prove it: it may be looked at even when the two differ."""
    there = files.content(output)
    if there != data:
        if there is not None and not job.force:
            raise Taken(
                str(output),
                "the file exists and says something else; it stays as it is.",
                remedy="add --force to replace it, or name another file with -o.",
            )
        files.write_file(output, data, like=source.path, replace=job.force)
    outcome = replace(outcome, output=str(output), written=there != data)
    if prove is not None and source.path is not None:
        outcome = replace(outcome, verdict=prove(source.path, output))
    return outcome


def write_in_place(
    job: Job, outcome: Outcome, source: Source, output: Path, data: bytes, prove: Prover | None
) -> Outcome:
    """Prove first, from a passing file beside the original: a script is not replaced by one that trains otherwise."""
    if prove is not None:
        with files.passing_neighbour(output, data) as candidate:
            outcome = replace(outcome, verdict=prove(output, candidate))
        if outcome.verdict is not None and outcome.verdict.answer is not Answer.EXACT:
            return outcome
    backup = files.replace_source(source, data)
    return replace(outcome, output=str(output), backup=str(backup), written=True)


def exit_code(mode: Mode, outcome: Outcome) -> ExitCode:
    if outcome.problem is not None:
        return ExitCode.UNUSABLE
    if mode is Mode.CHECK and outcome.status in (Status.NO_LOOP, Status.ALREADY, Status.SKIPPED):
        return ExitCode.DONE
    if outcome.verdict is not None and outcome.verdict.answer is not Answer.EXACT:
        return ExitCode.LEFT
    return EXIT_OF_STATUS[outcome.status]


def unified_diff(source: Source, data: bytes, direction: Direction = Direction.CONVERT) -> bytes:
    """The change as a patch, in the script's own encoding."""
    import difflib

    before, after = (text.split("\n") for text in (source.text, data.decode(source.encoding)))
    old, new = (with_endings(lines) for lines in (before, after))
    path = source.path or Path(source.name)
    patch = difflib.unified_diff(old, new, source.name, str(files.default_output(path, direction)))
    return "".join(patch).encode(source.encoding.removesuffix("-sig"))


def with_endings(lines: list[str]) -> list[str]:
    """Lines as a patch holds them; a last one without its newline is marked as diff(1) marks it."""
    *whole, last = lines
    ended = [f"{line}\n" for line in whole]
    return [*ended, f"{last}\n\\ No newline at end of file\n"] if last else ended

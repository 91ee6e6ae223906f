"""The traced process: seeds, installs the tracer, and runs the script as `python script.py ARGS` would.

Started by runner.py with the path of a job file; see `Job`.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import random
import sys
import traceback
import types
from dataclasses import asdict, dataclass
from typing import Any

from torchlift.verify.records import Outcome


@dataclass(frozen=True, slots=True)
class Job:
    """What to run. `script` and `folder` are absolute; the process already stands in the right working folder."""

    script: str
    shown: str  # the script as named on the command line, for sys.argv[0]
    args: tuple[str, ...]
    original: str  # the user's folder
    folder: str  # its copy
    trace: str
    seed: int
    limit: int | None

    def write(self, path: str) -> None:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(asdict(self), file)

    @classmethod
    def read(cls, path: str) -> Job:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        return cls(**{**data, "args": tuple(data["args"])})


def run(path: str) -> None:
    """Run the job in this process. Returns when the script is done; the trace ends when the process does."""
    job = Job.read(path)
    # PYTHONPATH and editable installs may point into the user's folder: the run belongs to the copy
    sys.path[:] = [_moved(entry, job.original, job.folder) for entry in sys.path]
    sys.path.insert(0, os.path.dirname(job.script))
    sys.argv = [job.shown, *job.args]
    ended: list[Outcome] = []
    stream, finish = _install(job)

    def end() -> None:  # registered before the script's own exit functions, so it runs after them
        finish()
        stream.end(ended[0])

    atexit.register(end)
    seed_all(job.seed)
    gc.freeze()  # what is imported by now stays; LiveModules collects garbage often
    try:
        _run_as_main(job.script)
        ended.append(Outcome("finished"))
    except SystemExit as exit:
        ended.append(_outcome_of_exit(exit))
        sys.exit(ended[0].code)
    except BaseException as error:
        ended.append(_outcome_of_error(error, stream.origin))
        sys.exit(1)


def _moved(path: str, original: str, folder: str) -> str:
    inside = path == original or path.startswith(os.path.join(original, ""))
    moved = folder + path[len(original) :]
    return moved if inside and os.path.exists(moved) else path


def seed_all(seed: int) -> None:
    import numpy
    import torch

    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _install(job: Job) -> tuple[Any, Any]:
    from torchlift.verify import hooks, late, printed, writes
    from torchlift.verify.live import LiveModules
    from torchlift.verify.origin import Origin
    from torchlift.verify.stream import Stream

    stream = Stream(job.trace, Origin(job.folder), LiveModules(), job.limit)
    hooks.install(stream)
    late.install(stream)
    writes.install(stream)
    return stream, printed.install(stream)


def _run_as_main(script: str) -> None:
    # not runpy: its module is gone when the script's own exit functions and worker processes look for __main__
    with open(script, "rb") as file:
        code = compile(file.read(), script, "exec")
    main = types.ModuleType("__main__")
    main.__file__ = script
    main.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = main
    exec(code, main.__dict__)


def _outcome_of_exit(exit: SystemExit) -> Outcome:
    if exit.code is None or isinstance(exit.code, int):
        return Outcome("finished", exit.code or 0)
    print(exit.code, file=sys.stderr)
    return Outcome("finished", 1, str(exit.code))


def _outcome_of_error(error: BaseException, origin: Any) -> Outcome:
    site, raised_in = None, ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        raised_in = frame.f_globals.get("__name__") or ""
        if origin.user_file(frame.f_code):
            site = origin.site_at(frame.f_code, line)
    traceback.print_exception(error)
    said = f"{type(error).__name__}: {error}"
    if raised_in.startswith(f"{__package__}.") and raised_in != __name__:
        return Outcome("tracer", 1, said, site)
    if isinstance(error, SyntaxError) and site is None:
        from torchlift.verify.records import Site

        name = origin.relative(error.filename or "") or str(error.filename)
        site = Site(name, error.lineno or 0, (error.text or "").strip())
    return Outcome("raised", 1, said, site)

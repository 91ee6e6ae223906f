"""Run someone's script as ``python script.py`` would, but with Lightning's names meaning torchlift."""

import builtins
import importlib.machinery
import io
import os
import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, TracebackType

from torchlift.compat.install import install

# Processes that the script starts (workers that are spawned, scripts of its own) find these modules on their path
# before the installed Lightning, and are turned over to torchlift by them.
CHILDREN = str(Path(__file__).with_name("children"))
UNUSABLE = 2


def main(arguments: Sequence[str]) -> int:
    """Run what `arguments` name, as python's own command line would; returns only if that does not raise."""
    match list(arguments):
        case ["-m", module, *rest]:
            _prepare(os.getcwd(), [module, *rest])
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case [script, *rest] if not script.startswith("-") and os.path.isfile(script):
            _prepare(os.path.dirname(os.path.realpath(script)), [script, *rest])
            _run(script)
        case [script, *_] if not script.startswith("-"):
            print(f"error: {script} is no file. Remedy: give the script to run.", file=sys.stderr)
            return UNUSABLE
        case _:
            print("usage: python -m torchlift.compat (SCRIPT | -m MODULE) [ARGS...]", file=sys.stderr)
            return UNUSABLE
    return 0


def _prepare(folder: str, argv: list[str]) -> None:
    """Make the process look as python would: arguments, import path, and tracebacks that start in the script."""
    sys.argv[:] = argv
    if not sys.flags.safe_path:  # python put its own first entry there: this folder, where the command was given
        del sys.path[0]
    sys.path[:0] = [folder, CHILDREN]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [CHILDREN, os.environ.get("PYTHONPATH")]))
    sys.excepthook = _from_the_script_on(sys.excepthook)
    install()


def _run(script: str) -> None:
    """Run the file as ``__main__``, which it stays until the process ends: threads and exit handlers look there."""
    loader = importlib.machinery.SourceFileLoader("__main__", script)
    module = ModuleType("__main__")
    vars(module).update(__file__=script, __loader__=loader, __builtins__=builtins)
    with io.open_code(os.path.abspath(script)) as file:
        code = compile(file.read(), script, "exec", dont_inherit=True)
    sys.modules["__main__"] = module
    exec(code, vars(module))


Hook = Callable[[type[BaseException], BaseException, TracebackType | None], object]


def _from_the_script_on(hook: Hook) -> Hook:
    """An excepthook that leaves out the frames which only started the script."""
    ours = {__file__, str(Path(__file__).with_name("__main__.py")), "<frozen runpy>", runpy.__file__}

    def shorter(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        theirs = trace
        while theirs is not None and theirs.tb_frame.f_code.co_filename in ours:
            theirs = theirs.tb_next
        if theirs is not None or isinstance(error, SyntaxError):  # a script that cannot be read has no frame
            trace = theirs
        hook(kind, error.with_traceback(trace), trace)

    return shorter

"""The last stage: what was written parses, compiles, and uses no name that nobody binds."""

from __future__ import annotations

import ast
import builtins

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.names import access, free_names
from torchlift_convert.render import Rendered
from torchlift_convert.syntax import Script
from torchlift_convert.types import Diagnostic, Severity, Span

_KNOWN = frozenset(dir(builtins)) | {"__file__", "__name__", "__doc__", "__builtins__", "__spec__"}


class Broken(Exception):
    """The output would not run: a bug of ours, told as one, and nothing is written."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.diagnostic = Diagnostic(
            "TL900", Severity.REFUSAL, f"Internal error: {message}.", Span(1, 1), "Please report this script's shape."
        )


def check(script: Script, rendered: Rendered) -> None:
    """Raise Broken when the output is not sound."""
    try:
        compile(rendered.text, "<converted>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)  # as notebooks may
    except SyntaxError as error:
        _compiles(script)
        raise Broken(f"the output does not compile: line {error.lineno}: {error.msg}") from None
    new = undefined_names(rendered.tree) - undefined_names(script.tree)
    if new:
        raise Broken(f"the output uses {', '.join(sorted(new))}, which nothing defines")


def _compiles(script: Script) -> None:
    """Raise Refuse where the script itself parses and does not compile: a ``from __future__`` import in its middle."""
    try:
        compile(script.text, "<script>", "exec", dont_inherit=True)
    except SyntaxError as error:
        line = error.lineno or 1
        place = next((s for s in script.tree.body if s.lineno <= line <= (s.end_lineno or line)), None)
        raise Refuse(
            "TL902", f"Python does not compile this: {error.msg}.", place, "Mend it until Python runs it."
        ) from None


def undefined_names(tree: ast.Module) -> frozenset[str]:
    """Names that some scope reads and no scope around it binds. With ``import *`` nothing is known."""
    if any(isinstance(n, ast.ImportFrom) and any(a.name == "*" for a in n.names) for n in ast.walk(tree)):
        return frozenset()
    reads: set[str] = set()
    binds: set[str] = set()
    for stmt in tree.body:
        got = access(stmt)
        reads |= got.reads
        binds |= got.binds
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            binds |= free_names(node).binds
    return frozenset(reads - binds - _KNOWN)

"""The plain loop in a script that trains through a framework's object, when it is one."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace

from torchlift_convert.diagnostics import Refuse, note
from torchlift_convert.lowering.accelerator import Accelerator
from torchlift_convert.lowering.edits import Edited
from torchlift_convert.lowering.prepared import Prepared
from torchlift_convert.several import carried, composed, in_original
from torchlift_convert.types import Diagnostic, Fate, FateKind, Result, Span


@dataclass(frozen=True)
class Lowered:
    """A script as a plain loop. ``fates``: where its statements stand; ``changed``: those that are other ones."""

    text: str
    fates: tuple[Fate, ...]
    changed: frozenset[Span]
    told_of: Diagnostic

    def vouched(self, vouched: frozenset[tuple[str, int]]) -> frozenset[tuple[str, int]]:
        return carried(vouched, self.fates)

    def told(self, result: Result) -> Result:
        """What came of the plain loop, told of the script."""
        told = in_original(result, self.fates)
        if not result.fates:
            return told
        fates = [
            replace(f, kind=FateKind.MERGED, where="as one process does it")
            if f.kind is FateKind.KEPT and f.source in self.changed
            else f
            for f in composed(self.fates, result.fates)
        ]
        return replace(told, fates=tuple(fates), diagnostics=(*told.diagnostics, self.told_of))


def lower(text: str, tree: ast.Module) -> Lowered | None:
    """None: the script makes no such object.

    Raises:
        Refuse: it does, and does more with it than a plain loop can say.
    """
    edited = Edited(text, tree)
    made = _made(tree, "accelerate.Accelerator")
    if made is None:
        return None
    assert isinstance(made.targets[0], ast.Name)
    name = made.targets[0].id
    Accelerator(edited, made, name, Prepared(text, tree, name)).lower()
    after = edited.result()
    ast.parse(after)
    said = note(
        "TL502",
        "Converted as the plain loop that runs in one process; a launcher of several is not carried over.",
        made,
    )
    return Lowered(after, edited.fates(), frozenset(edited.changed()), said)


def _made(tree: ast.Module, cls: str) -> ast.Assign | None:
    """The one assignment that makes an object of an imported class.

    Raises:
        Refuse: one is made, in another way.
    """
    seen = Prepared("", tree, "")
    names = (cls, cls.replace(".", ".accelerator.", 1))
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and seen.library(n.func) in names]
    if not calls:
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and node.value is calls[0] and len(node.targets) == 1 == len(calls):
            if isinstance(node.targets[0], ast.Name):
                return node
    raise Refuse(
        "TL502",
        f"{cls.rpartition('.')[2]} is not made once, in an assignment to a variable.",
        calls[0],
        "Make one, and give it a name of its own.",
    )

"""Methods that nothing calls any more once their statements are hooks."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from torchlift_convert.kept import walk
from torchlift_convert.nest import Nest
from torchlift_convert.program import Item, Program


def unneeded_methods(
    program: Program, nest: Nest, hooks: Iterable[Item], along: Iterable[ast.stmt]
) -> list[ast.FunctionDef]:
    """Methods that went into hooks, or along with them, and that no statement that stays mentions."""
    if program.owner is None:
        return []
    instance = program.owner.instance
    went = {*nest.followed, *along, *(i.frame.scope for i in hooks)}
    found = [m for m in instance.scopes if m in went and m is not nest.home.scope]
    while True:
        gone = {id(n) for s in [nest.outer, *found] for n in walk(s)}
        mentioned: set[str] = set()
        for node in walk(program.script.tree):
            if id(node) not in gone and isinstance(node, ast.Name):
                mentioned.add(node.id.rpartition(".")[2])
            elif id(node) not in gone and isinstance(node, ast.Attribute):
                mentioned.add(node.attr)
        kept = [m for m in found if m.name not in mentioned]
        if len(kept) == len(found):
            return found
        found = kept

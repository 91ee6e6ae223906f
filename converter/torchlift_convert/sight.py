"""Models that are handed to code which is not in sight, where anything may be done to them."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from torchlift_convert.knowledge import BUILTINS, QUIET, WRITING, listed
from torchlift_convert.names import own_nodes
from torchlift_convert.program import Frame, Program, Var
from torchlift_convert.syntax import nodes_of


def out_of_sight(roots: Iterable[tuple[ast.stmt, Frame]], models: Iterable[Var], program: Program) -> bool:
    """Do these statements, or the script's functions that they lead to, give a model to a function that is not known?

    In a function of the script, every argument may be a model.
    """
    known = set(models)
    seen: set[ast.AST] = set()
    stack = [(n, f, False) for s, f in roots for n in nodes_of(s)]
    while stack:
        node, frame, inside = stack.pop()
        if not isinstance(node, ast.Call):
            continue
        given = [*node.args, *(k.value for k in node.keywords)]
        plain = [a.value if isinstance(a, ast.Starred) else a for a in given]
        names = [a.id for a in plain if isinstance(a, ast.Name)]
        models_given = [n for n in names if frame.resolve(n) in known or (inside and frame.resolve(n).frame is frame)]
        if not models_given:
            continue
        target = frame.function(node.func.id) if isinstance(node.func, ast.Name) else None
        if target is not None:
            if target[0] not in seen:
                seen.add(target[0])
                inner = Frame(*target)
                stack += [(n, inner, True) for n in own_nodes(target[0])]
        elif _is_foreign(node.func, frame, program):
            return True
    return False


def _is_foreign(func: ast.expr, frame: Frame, program: Program) -> bool:
    """Something imported that nothing is known about, or a variable for it."""
    name = program.canonical(func, frame)
    if name is not None:
        return not (name in BUILTINS or name.startswith("torch.") or listed(name, (*QUIET, *WRITING)))
    if not isinstance(func, ast.Name):
        return False
    var = frame.resolve(func.id)
    if var.frame is not program.module or func.id in program.module.classes:
        return False
    values = [
        s.value
        for s in program.module.scope.body
        if isinstance(s, ast.Assign) and any(isinstance(t, ast.Name) and t.id == var.name for t in s.targets)
    ]
    return any(isinstance(v, (ast.Name, ast.Attribute)) for v in values)

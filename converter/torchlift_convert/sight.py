"""Models that are handed to code which is not in sight, where anything may be done to them."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from torchlift_convert.knowledge import BUILTINS, QUIET, WRITING, listed
from torchlift_convert.names import own_nodes, parameters
from torchlift_convert.program import Frame, FunctionNode, Program, Var
from torchlift_convert.syntax import nodes_of


def out_of_sight(roots: Iterable[tuple[ast.stmt, Frame]], models: Iterable[Var], program: Program) -> bool:
    """Do these statements, or the functions of the script that they lead to, give a model to an unknown function?"""
    known = set(models)
    seen: set[tuple[ast.AST, frozenset[str]]] = set()
    stack = [(n, f) for s, f in roots for n in nodes_of(s)]
    while stack:
        node, frame = stack.pop()
        if not isinstance(node, ast.Call):
            continue
        target = frame.function(node.func.id) if isinstance(node.func, ast.Name) else None
        if target is None:
            given = [*node.args, *(k.value for k in node.keywords)]
            if any(_is_one(a, frame, known) for a in given) and _is_foreign(node.func, frame, program):
                return True
            continue
        handed = _handed(node, frame, target[0], known)
        if handed and (target[0], handed) not in seen:
            seen.add((target[0], handed))
            inner = Frame(*target)
            known |= {inner.resolve(name) for name in handed}
            stack += [(n, inner) for n in own_nodes(target[0])]
    return False


def _is_one(given: ast.expr, frame: Frame, known: set[Var]) -> bool:
    plain = given.value if isinstance(given, ast.Starred) else given
    return isinstance(plain, ast.Name) and frame.resolve(plain.id) in known


def _handed(call: ast.Call, frame: Frame, function: FunctionNode, known: set[Var]) -> frozenset[str]:
    """The parameters that a model is handed over by; all of them when that is not plain."""
    names = [a.arg for a in [*function.args.posonlyargs, *function.args.args]]
    given = [*zip(names, call.args, strict=False), *((k.arg, k.value) for k in call.keywords)]
    if not any(_is_one(a, frame, known) for a in [*call.args, *(k.value for k in call.keywords)]):
        return frozenset()
    if any(isinstance(a, ast.Starred) for a in call.args) or not all(k.arg for k in call.keywords):
        return frozenset(parameters(function.args))
    if len(call.args) > len(names) or function.args.kwarg:
        return frozenset(parameters(function.args))
    return frozenset(name for name, a in given if name and _is_one(a, frame, known))


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

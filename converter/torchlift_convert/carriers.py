"""Which parts of an expression its value may hold: not what is computed with, or only told."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from torchlift_convert.kept import children
from torchlift_convert.knowledge import FRESH_BUILTINS, FRESH_METHODS, QUIET_METHODS, TAKING
from torchlift_convert.names import access, own_nodes
from torchlift_convert.program import Frame, FunctionNode, Program


def carriers(expr: ast.expr, frame: Frame, program: Program) -> Iterator[ast.Name]:
    """Names whose objects may be part of a value: not what a library's or the script's constructor is only told."""
    stack: list[ast.AST] = [expr]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Name):
            yield node
        elif isinstance(node, ast.Call):
            stack += _kept_by(node, frame, program)
        elif not isinstance(node, (ast.BinOp, ast.Compare, ast.JoinedStr)) and getattr(node, "attr", "") != "shape":
            stack.extend(children(node))


def _kept_by(call: ast.Call, frame: Frame, program: Program) -> list[ast.expr]:
    """Of a call's parts, those that its value may hold."""
    given = [call.func, *call.args, *(k.value for k in call.keywords)]
    match call.func:
        case ast.Name(id=name) if name in program.module.classes or name in FRESH_BUILTINS:
            return []
        case ast.Name(id=name) if (target := frame.function(name)) is not None:
            return _handed_back(call, target[0]) or given
        case ast.Attribute(attr=attr) if attr in FRESH_METHODS:
            return []
        case ast.Attribute(value=owner, attr=attr) if attr in QUIET_METHODS - TAKING:
            given = [owner]
    return [] if (program.canonical(call.func, frame) or "").startswith("torch.") else given


def _handed_back(call: ast.Call, function: FunctionNode) -> list[ast.expr]:
    """The arguments of a call whose function returns nothing but some of its parameters; else nothing."""
    returned = [n.value for n in own_nodes(function) if isinstance(n, ast.Return)]
    rebound = frozenset[str]().union(*(access(s).binds for s in function.body))
    names = [a.arg for a in [*function.args.posonlyargs, *function.args.args]]
    given = dict(zip(names, call.args, strict=False)) | {k.arg: k.value for k in call.keywords if k.arg}
    plain = not function.decorator_list and all(
        isinstance(v, ast.Name) and v.id in given and v.id not in rebound for v in returned
    )
    return [given[v.id] for v in returned if isinstance(v, ast.Name)] if plain else []

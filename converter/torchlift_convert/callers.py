"""Who calls the function that the loops stand in, and with what."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from torchlift_convert.names import own_nodes
from torchlift_convert.program import Frame, FunctionNode, Program


@dataclass(frozen=True, eq=False)
class CallSite:
    """One call of a function: the expression behind each parameter, with the frame that it is read in."""

    arguments: dict[str, tuple[ast.expr, Frame]]


@dataclass(frozen=True, eq=False)
class Callers:
    """``complete``: every mention of the function is one of these calls, with each argument in sight."""

    sites: tuple[CallSite, ...]
    complete: bool


def callers_of(scope: FunctionNode, program: Program) -> Callers:
    """The calls of a function of the script. A default stands for a parameter that a call leaves out."""
    defaults = defaults_of(scope, program)
    names = [a.arg for a in [*scope.args.posonlyargs, *scope.args.args]]
    taken = {*names, *(a.arg for a in scope.args.kwonlyargs)}
    sites: list[CallSite] = []
    complete = not scope.decorator_list
    for frame in _frames(program.module):
        nodes = list(own_nodes(frame.scope))
        called = {id(n.func) for n in nodes if isinstance(n, ast.Call)}
        for node in nodes:
            if isinstance(node, ast.Name) and node.id == scope.name and id(node) not in called:
                complete = complete and not isinstance(node.ctx, ast.Load)
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == scope.name):
                continue
            complete &= not any(isinstance(a, ast.Starred) for a in node.args) and all(k.arg for k in node.keywords)
            given = {n: (a, frame) for n, a in zip(names, node.args, strict=False)}
            given |= {k.arg: (k.value, frame) for k in node.keywords if k.arg in taken and k.arg}
            sites.append(CallSite(defaults | given))
    return Callers(tuple(sites), complete and bool(sites))


def defaults_of(scope: FunctionNode, program: Program) -> dict[str, tuple[ast.expr, Frame]]:
    """The defaults of a function's parameters."""
    plain = [a.arg for a in [*scope.args.posonlyargs, *scope.args.args]]
    found = dict(zip(reversed(plain), reversed(scope.args.defaults), strict=False))
    found |= {a.arg: d for a, d in zip(scope.args.kwonlyargs, scope.args.kw_defaults, strict=True) if d is not None}
    return {name: (value, program.module) for name, value in found.items()}


def _frames(frame: Frame) -> Iterator[Frame]:
    """A frame and one for each function, method and lambda-free scope inside it."""
    yield frame
    stack: list[ast.AST] = list(frame.scope.body)
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _frames(Frame(node, frame))
        elif not isinstance(node, ast.Lambda):
            stack.extend(ast.iter_child_nodes(node))

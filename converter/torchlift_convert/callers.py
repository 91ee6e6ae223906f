"""Who calls the function that the loops stand in, and with what."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from torchlift_convert.names import own_nodes
from torchlift_convert.program import Frame, FunctionNode, Program, walk_statements_of_scope
from torchlift_convert.syntax import blocks_of, nodes_of


@dataclass(frozen=True, eq=False)
class CallSite:
    """One call of a function: the expression behind each parameter, with the frame that it is read in."""

    arguments: dict[str, tuple[ast.expr, Frame]]
    stmt: ast.stmt
    frame: Frame


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
    plain = not scope.decorator_list
    mentions = [n for n in ast.walk(program.script.tree) if isinstance(n, ast.Name) and n.id == scope.name]
    for frame in frames_of(program.module):
        for node in own_nodes(frame.scope):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == scope.name):
                continue
            plain &= not any(isinstance(a, ast.Starred) for a in node.args) and all(k.arg for k in node.keywords)
            given = {n: (a, frame) for n, a in zip(names, node.args, strict=False)}
            given |= {k.arg: (k.value, frame) for k in node.keywords if k.arg in taken and k.arg}
            sites.append(CallSite(defaults | given, _statement_of(node, frame), frame))
    called = [n for n in mentions if isinstance(n.ctx, ast.Load)]  # in a lambda, a decorator, handed around: no site
    return Callers(tuple(sites), plain and bool(sites) and len(called) == len(sites))


def _statement_of(call: ast.Call, frame: Frame) -> ast.stmt:
    """The innermost statement that a call stands in."""
    holding = [s for s in walk_statements_of_scope(frame.scope.body) if any(n is call for n in nodes_of(s))]
    return holding[-1]


def earlier(
    scope: ast.Module | FunctionNode, program: Program, inside: tuple[FunctionNode, ...] = ()
) -> list[tuple[ast.stmt, Frame]] | None:
    """Statements of the callers that may run before a function is entered; None when that is anything at all.

    With two calls, or one in a loop, everything that the function does comes before it as well.
    """
    if isinstance(scope, ast.Module):
        return []
    callers = callers_of(scope, program)
    if not callers.complete or len(callers.sites) != 1 or scope in inside:  # functions may call each other
        return None
    site = callers.sites[0]
    found: list[tuple[ast.stmt, Frame]] = []
    inner: ast.stmt | None = site.stmt
    while inner is not None and inner is not site.frame.scope:
        if isinstance(inner, (ast.For, ast.While)):
            return None
        parent = program.script.parent[inner]
        blocks = [program.script.tree.body] if parent is None else list(blocks_of(parent))
        block = next(b for b in blocks if inner in b)
        found += [(s, site.frame) for s in block[: block.index(inner)]]
        inner = parent
    before = earlier(site.frame.scope, program, (*inside, scope))
    return None if before is None else found + before


def defaults_of(scope: FunctionNode, program: Program) -> dict[str, tuple[ast.expr, Frame]]:
    """The defaults of a function's parameters."""
    plain = [a.arg for a in [*scope.args.posonlyargs, *scope.args.args]]
    found = dict(zip(reversed(plain), reversed(scope.args.defaults), strict=False))
    found |= {a.arg: d for a, d in zip(scope.args.kwonlyargs, scope.args.kw_defaults, strict=True) if d is not None}
    return {name: (value, program.module) for name, value in found.items()}


def frames_of(frame: Frame) -> Iterator[Frame]:
    """A frame and one for each function, method and lambda-free scope inside it."""
    yield frame
    stack: list[ast.AST] = list(frame.scope.body)
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from frames_of(Frame(node, frame))
        elif not isinstance(node, ast.Lambda):
            stack.extend(ast.iter_child_nodes(node))

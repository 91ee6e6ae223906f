"""Who calls the function that the loops stand in, and with what."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from torchlift_convert.kept import walk
from torchlift_convert.names import own_nodes
from torchlift_convert.program import Frame, FunctionNode, Program
from torchlift_convert.scopes import walk_statements_of_scope
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
    called = _names_of(scope, program)
    bound = scope in program.bound_names
    if called != {scope.name} and not bound:
        names = names[1:]  # the object itself
    taken = {*names, *(a.arg for a in scope.args.kwonlyargs)}
    sites: list[CallSite] = []
    super_calls = 0
    plain = not scope.decorator_list and not (bound and _reached_otherwise(scope.name, program))
    mentions = [n for n in walk(program.script.tree) if isinstance(n, ast.Name) and n.id in called]
    for frame in program.frames.values():
        for node in own_nodes(frame.scope):
            if not (isinstance(node, ast.Call) and _called(node) in called):
                continue
            if not isinstance(node.func, ast.Name) and not _calls_base(frame.scope, scope, program):
                continue
            plain &= not any(isinstance(a, ast.Starred) for a in node.args) and all(k.arg for k in node.keywords)
            given = {n: (a, frame) for n, a in zip(names, node.args, strict=False)}
            given |= {k.arg: (k.value, frame) for k in node.keywords if k.arg in taken and k.arg}
            super_calls += not isinstance(node.func, ast.Name)
            sites.append(CallSite(defaults | given, _statement_of(node, frame), frame))
    loads = [n for n in mentions if isinstance(n.ctx, ast.Load)]  # in a lambda, a decorator, handed around: no site
    everywhere = len(loads) == len(sites) - super_calls or (scope.name == "__init__" and called != {scope.name})
    return Callers(tuple(sites), plain and bool(sites) and everywhere)


def _names_of(scope: FunctionNode, program: Program) -> set[str]:
    """What a call of the function says: its name, or for a method of the script's object the path to it."""
    instance = program.owner.instance if program.owner is not None else None
    if instance is None or scope not in instance.scopes:
        return program.called_by(scope)
    found = program.called_by(scope) | {f"super().{scope.name}"}
    return found | {instance.classes[0].name} if scope.name == "__init__" and len(found) > 1 else found


def _reached_otherwise(name: str, program: Program) -> bool:
    """May something besides calls of which the object is known run a method of that name?"""
    return any(
        (isinstance(n, ast.Attribute) and n.attr == name) or (isinstance(n, ast.Constant) and n.value == name)
        for n in walk(program.script.tree)
    )


def _calls_base(method: ast.AST, scope: FunctionNode, program: Program) -> bool:
    """May ``super()`` in a method mean the class that defines the other one?"""
    classes = program.owner.instance.classes if program.owner is not None else ()
    below = [c for n, c in enumerate(classes) if any(scope in base.body for base in classes[n + 1 :])]
    return any(method in c.body for c in below)


def _called(call: ast.Call) -> str:
    """The name that is called; ``super().name`` of a base class's method."""
    match call.func:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr=attr):
            return f"super().{attr}"
    return ""


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


def tries_around(scope: ast.Module | FunctionNode, program: Program) -> list[ast.Try]:
    """The ``try`` statements that a function may run in: around its calls, and around those of the callers."""
    found: list[ast.Try] = []
    seen: set[ast.AST] = set()
    stack: list[ast.Module | FunctionNode] = [scope]
    while stack:
        one = stack.pop()
        if isinstance(one, ast.Module) or one in seen:
            continue
        seen.add(one)
        for site in callers_of(one, program).sites:
            around: ast.stmt | None = site.stmt
            while around is not None:
                found += [around] if isinstance(around, ast.Try) else []
                around = program.script.parent[around]
            stack.append(site.frame.scope)
    return found


def defaults_of(scope: FunctionNode, program: Program) -> dict[str, tuple[ast.expr, Frame]]:
    """The defaults of a function's parameters."""
    plain = [a.arg for a in [*scope.args.posonlyargs, *scope.args.args]]
    found = dict(zip(reversed(plain), reversed(scope.args.defaults), strict=False))
    found |= {a.arg: d for a, d in zip(scope.args.kwonlyargs, scope.args.kw_defaults, strict=True) if d is not None}
    return {name: (value, program.module) for name, value in found.items()}

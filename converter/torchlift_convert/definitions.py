"""Where variables are bound, and which variable an expression names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from torchlift_convert.callers import Callers, callers_of, defaults_of
from torchlift_convert.kept import walk
from torchlift_convert.nest import Nest
from torchlift_convert.program import Bound, Frame, FunctionNode, Item, Program, Var, flow_over
from torchlift_convert.scopes import walk_statements_of_scope
from torchlift_convert.surroundings import elsewhere
from torchlift_convert.syntax import blocks_of, nodes_of, walk_statements
from torchlift_convert.unseen import binds_unseen, module_variables


@dataclass(frozen=True, eq=False)
class Definition:
    """One place where a variable is bound. ``value`` is None when it is not a plain assignment to that name alone.

    ``unseen``: it may be bound anew here, as options are, to another value of the same kind.
    """

    stmt: ast.stmt
    value: ast.expr | None
    frame: Frame
    unseen: bool = False


def variable(expr: ast.expr, frame: Frame) -> Var | None:
    """The variable that an expression names, through parameters that stand for it."""
    if not isinstance(expr, ast.Name):
        return None
    bound = frame.alias(expr.id)
    return variable(bound.expr, bound.frame) if bound else frame.resolve(expr.id)


def expression(expr: ast.expr, frame: Frame) -> tuple[ast.expr, Frame]:
    """The caller's expression behind a parameter, or the expression itself."""
    if isinstance(expr, ast.Name):
        bound: Bound | None = frame.alias(expr.id)
        if bound is not None:
            return expression(bound.expr, bound.frame)
    return expr, frame


def nest_items(nest: Nest) -> list[Item]:
    return [*nest.before, *nest.body, *nest.after]


def assigned(stmt: ast.stmt, frame: Frame) -> Iterator[tuple[Var, ast.expr | None]]:
    """Variables that one statement (not those inside it) binds, with the value when it is bound to that alone."""
    match stmt:
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                if isinstance(target, ast.Name):
                    yield frame.resolve(target.id), value
                elif (
                    isinstance(target, ast.Tuple)
                    and isinstance(value, ast.Tuple)
                    and len(target.elts) == len(value.elts)
                ):
                    for one, part in zip(target.elts, value.elts, strict=True):
                        if isinstance(one, ast.Name):
                            yield frame.resolve(one.id), part
                else:
                    for node in walk(target):
                        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                            yield frame.resolve(node.id), None
        case ast.AnnAssign(target=ast.Name(id=name), value=value):
            yield frame.resolve(name), value
        case ast.AugAssign(target=ast.Name(id=name)):
            yield frame.resolve(name), None
        case ast.For(target=target):
            for node in walk(target):
                if isinstance(node, ast.Name):
                    yield frame.resolve(node.id), None
        case ast.With(items=items):
            for item in items:
                if isinstance(item.optional_vars, ast.Name):
                    yield frame.resolve(item.optional_vars.id), item.context_expr


def definitions(program: Program, nest: Nest, callers: Callers) -> dict[Var, list[Definition]]:
    """Where variables of the module, the home scope, its callers and the followed functions are bound."""
    found: dict[Var, list[Definition]] = {}
    frames = {id(f): f for f in [program.module, nest.home, *(i.frame.base for i in nest_items(nest))]}
    for frame in frames.values():
        add_definitions(found, frame)
    _add_unseen(found, program)
    around = {s for i in elsewhere(nest) for s in walk_statements([i.stmt])}
    for var in flow_over([Item(s, nest.home) for s in nest.pre]).must if around else ():  # they are bound anew
        found[var] = [d for d in found.get(var, []) if d.stmt not in around]
    scope = nest.home.scope
    if not isinstance(scope, ast.Module):
        given = [defaults_of(scope, program), *(site.arguments for site in callers.sites)]
        for frame in {id(f): f for one in given for _, f in one.values()}.values():
            if id(frame) not in frames:
                frames[id(frame)] = frame
                add_definitions(found, frame)
        for name, (value, frame) in (pair for one in given for pair in one.items()):
            found.setdefault(nest.home.resolve(name), []).append(Definition(scope, value, frame))
    if program.owner is not None:
        _add_owned(found, program, {f.scope for f in frames.values()})
    return found


def entering(nest: Nest, found: dict[Var, list[Definition]]) -> dict[Var, list[Definition]]:
    """The definitions without those behind the loops, for variables that are surely bound before: what the loops meet.

    Where a loop goes round them, what is behind them comes before them as well.
    """
    if nest.repeated:
        return found
    later = set(walk_statements(nest.post))
    sure = flow_over([Item(s, nest.home) for s in nest.pre]).must
    return {v: [d for d in ds if v not in sure or d.stmt not in later] or ds for v, ds in found.items()}


def _add_owned(found: dict[Var, list[Definition]], program: Program, seen: set[ast.AST]) -> None:
    """Add where attributes of the script's object are bound, and what its constructor is given, back to the callers."""
    assert program.owner is not None
    for method in program.owner.instance.scopes:
        if method not in seen:
            add_definitions(found, program.frames[method])
    scopes: list[FunctionNode] = [m for m in program.owner.instance.scopes if m.name == "__init__"]
    seen = {*seen, *program.owner.instance.scopes}
    given = {*program.owner.instance.scopes}  # read already, or of no call that is followed here
    for scope in scopes:  # grows on the way
        inner = program.frames[scope]
        for site in callers_of(scope, program).sites:
            for name, (value, frame) in site.arguments.items():
                found.setdefault(inner.resolve(name), []).append(Definition(scope, value, frame))
            caller = site.frame.scope
            if caller not in seen:
                seen.add(caller)
                add_definitions(found, site.frame)
            if not isinstance(caller, ast.Module) and caller not in scopes and caller not in given:
                scopes.append(caller)


def _add_unseen(found: dict[Var, list[Definition]], program: Program) -> None:
    """``exec`` may bind anew what was bound before it."""
    for stmt in walk_statements_of_scope(program.module.scope.body):
        if any(binds_unseen(n, program.module, program) for n in nodes_of(stmt)) and not list(blocks_of(stmt)):
            for var in module_variables(program) & set(found):
                if any(d.stmt.lineno < stmt.lineno for d in found[var]):
                    found[var].append(Definition(stmt, None, program.module, unseen=True))


def add_definitions(found: dict[Var, list[Definition]], frame: Frame) -> None:
    """Add the places where a frame's statements bind variables."""
    for stmt in walk_statements_of_scope(frame.scope.body):
        for var, value in assigned(stmt, frame):
            if var.owned and any(d.stmt is stmt for d in found.get(var, [])):
                continue  # read in the frame of a call already
            found.setdefault(var, []).append(Definition(stmt, value, frame))

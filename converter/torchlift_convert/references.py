"""What a piece of code refers to, through parameters that stand for the caller's expressions."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from torchlift_convert.kept import walk
from torchlift_convert.names import access
from torchlift_convert.program import Frame, Item, Var
from torchlift_convert.roles import Roles

Reference = tuple[Var, str | None]  # a variable, or one attribute of a namespace variable


def references(tree: ast.AST, frame: Frame, roles: Roles) -> dict[Reference, None]:
    """Variables that the code reads, in order of first appearance; options of a namespace one by one."""
    found: dict[Reference, None] = {}
    reads = access(tree).reads
    names = [n for n in walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and n.id in reads]
    names.sort(key=lambda n: (getattr(n, "lineno", 0), getattr(n, "col_offset", 0)))
    augmented = [n.target.id for n in walk(tree) if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name)]
    options = {
        id(n.value): n.attr
        for n in walk(tree)
        if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and isinstance(n.ctx, ast.Load)
    }
    for node in names:
        bound = frame.alias(node.id)
        if bound is not None:
            found |= references(bound.expr, bound.frame, roles)
            continue
        var = frame.resolve(node.id)
        found[(var, options.get(id(node)) if var in roles.namespaces else None)] = None
    for name in [*augmented, *sorted(reads - {n.id for n in names})]:
        found[(frame.resolve(name), None)] = None
    return found


def item_references(items: Iterable[Item], roles: Roles) -> dict[Reference, None]:
    """References of statement instances, in order."""
    found: dict[Reference, None] = {}
    for item in items:
        holes = {h.placeholder for h in item.holes}
        found |= {k: None for k in references(item.shape, item.frame, roles) if k[0].name not in holes}
        for hole in item.holes:
            if hole.value is not None:
                found |= references(hole.value, hole.frame, roles)
    return found

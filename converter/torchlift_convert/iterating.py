"""Going through a DataLoader, which draws from the random state whatever is done with the batches."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from torchlift_convert.kept import walk
from torchlift_convert.program import dotted

_TAKING = frozenset(
    ["enumerate", "filter", "iter", "list", "map", "max", "min", "next", "set", "sorted", "sum", "tuple", "zip"]
)


def loader_names(tree: ast.AST) -> frozenset[str]:
    """Names and attributes that something anywhere in the code gives a value with a DataLoader made in it."""
    found: set[str] = set()
    for node in walk(tree):
        match node:
            case ast.Assign(targets=targets, value=value) if _makes(value):
                found |= {name for t in targets for name in _named(t)}
            case ast.AnnAssign(target=target, value=ast.expr() as value) if _makes(value):
                found |= set(_named(target))
    return frozenset(found)


def goes_through_loader(node: ast.AST, names: frozenset[str]) -> bool:
    """Does a loop, a comprehension, or a call as ``next(iter(loader))`` go through a DataLoader?"""
    match node:
        case ast.For(iter=over) | ast.AsyncFor(iter=over) | ast.comprehension(iter=over):
            return _holds(over, names)
        case ast.Call(func=ast.Name(id=name), args=args) if name in _TAKING:
            return any(_holds(a, names) for a in args)
    return False


def _makes(value: ast.AST) -> bool:
    return any(isinstance(n, ast.Call) and (dotted(n.func) or "").endswith("DataLoader") for n in walk(value))


def _named(target: ast.expr) -> Iterator[str]:
    for node in walk(target):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def _holds(over: ast.expr, names: frozenset[str]) -> bool:
    """Is it a DataLoader, or something around one?"""
    match over:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in names
        case ast.Call(func=func, args=args):
            return (dotted(func) or "").endswith("DataLoader") or any(_holds(a, names) for a in args)
        case ast.Subscript(value=value):
            return _holds(value, names)
    return False

"""What a scope of the script defines, and which names are its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from torchlift_convert.kept import kept, walk
from torchlift_convert.methods import method_functions
from torchlift_convert.names import access, declared_outer, flow_of, parameters
from torchlift_convert.syntax import blocks_of, walk_statements

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@kept  # each call of a function is a frame of its own, over the same scope
def contents_of(
    scope: ast.Module | FunctionNode,
) -> tuple[dict[str, FunctionNode], dict[str, ast.ClassDef], frozenset[str]]:
    """The functions and classes that a scope defines, and the names that are its own."""
    functions = _functions_of(scope.body)
    classes = {s.name: s for s in walk_statements(scope.body) if isinstance(s, ast.ClassDef)}
    if isinstance(scope, ast.Module):
        methods = method_functions(scope)
        own = _plain(flow_of(scope.body).may | globals_bound_in(scope))
        return functions | methods, classes, own | methods.keys()
    binds = frozenset[str]().union(*(access(s).binds for s in scope.body))
    return functions, classes, (_plain(binds) - declared_outer(scope)) | frozenset(parameters(scope.args))


def _plain(names: frozenset[str]) -> frozenset[str]:
    """Without the paths to attributes, which belong to their object."""
    return frozenset(n for n in names if "." not in n)


def _functions_of(body: list[ast.stmt]) -> dict[str, FunctionNode]:
    """Functions defined straight in a scope, those defined once only: with two, which one runs is not known here."""
    found: dict[str, FunctionNode] = {}
    twice: set[str] = set()
    for stmt in walk_statements_of_scope(body):
        if isinstance(stmt, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if stmt.name in found:
                twice.add(stmt.name)
            found[stmt.name] = stmt
    return {n: f for n, f in found.items() if n not in twice}


def walk_statements_of_scope(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Every statement of a scope, without the bodies of functions and classes in it."""
    for stmt in body:
        yield stmt
        if not isinstance(stmt, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for block in blocks_of(stmt):
                yield from walk_statements_of_scope(block)


def globals_bound_in(tree: ast.Module) -> frozenset[str]:
    """Names that some function binds at module level by ``global``."""
    found: set[str] = set()
    for node in walk(tree):
        if isinstance(node, ast.Global):
            found |= set(node.names)
    return frozenset(found)

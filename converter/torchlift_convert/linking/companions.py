"""Statements that change a variable of a module while the project is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from torchlift_convert.linking.library import Module, importing
from torchlift_convert.linking.lookup import Local, Lookup
from torchlift_convert.linking.mentions import mentions
from torchlift_convert.names import access

_DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


def companions(meaning: Local, loaded: Iterable[Module], lookup: Lookup) -> list[ast.stmt] | None:
    """Those of its own module, as ``parser.add_argument(...)``; None when what changes it is not known."""
    if not isinstance(meaning.stmt, (ast.Assign, ast.AnnAssign)):
        return []
    found: list[ast.stmt] = []
    for module in loaded:
        if meaning.name not in module.text:
            continue
        called: set[str] = set()
        for stmt in importing(module.tree.body):
            if isinstance(stmt, _DEFINES):
                continue
            called |= {n.func.id for n in ast.walk(stmt) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
            if stmt is meaning.stmt or not _mentions(module, stmt, meaning, lookup):
                continue
            if module is meaning.module and _acts_on_it(stmt) and stmt in module.tree.body:
                found.append(stmt)
            elif not _only_reads(module, stmt, meaning, lookup):
                return None
        for name in called:
            for defined in module.bindings.get(name, []):
                if isinstance(defined, ast.FunctionDef) and _mentions(module, defined, meaning, lookup):
                    return None
    return found


def _mentions(module: Module, stmt: ast.stmt, meaning: Local, lookup: Lookup) -> bool:
    return any(m.meaning == meaning for m in mentions(module, stmt, lookup))


def _acts_on_it(stmt: ast.stmt) -> bool:
    """A small statement that binds no name."""
    return isinstance(stmt, (ast.Expr, ast.Assign, ast.AugAssign)) and not access(stmt).binds


def _only_reads(module: Module, stmt: ast.stmt, meaning: Local, lookup: Lookup) -> bool:
    """Is the variable only looked at, outside of any call but as the owner of what is called?"""
    if not isinstance(stmt, (ast.Assign, ast.AnnAssign)):
        return False
    given = {id(m) for n in ast.walk(stmt) if isinstance(n, ast.Call) for m in ast.walk(n)}
    found = [m for m in mentions(module, stmt, lookup) if m.meaning == meaning]
    return all(id(m.node) not in given and isinstance(getattr(m.node, "ctx", None), ast.Load) for m in found)

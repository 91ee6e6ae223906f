"""Does importing a module do more than bind names? Then the import stays, whatever the script still uses of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from torchlift_convert.knowledge import BUILTINS, QUIET, listed
from torchlift_convert.linking.library import Module
from torchlift_convert.linking.lookup import External, Lookup

_STILL = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.Pass, ast.Global)


def is_loud(module: Module, lookup: Lookup) -> bool:
    """Might its top level draw, write, or change what others see?"""
    return any(_acts(stmt, module, lookup) for stmt in module.tree.body)


def _acts(stmt: ast.stmt, module: Module, lookup: Lookup) -> bool:
    match stmt:
        case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Expr(value=ast.Constant()):
            return False
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            parts: list[ast.expr] = [
                *stmt.decorator_list,
                *stmt.args.defaults,
                *(d for d in stmt.args.kw_defaults if d),
            ]
            return any(_calls(p, module, lookup) for p in parts)
        case ast.ClassDef():
            heads = [*stmt.decorator_list, *stmt.bases, *(k.value for k in stmt.keywords)]
            return any(_calls(h, module, lookup) for h in heads) or any(_acts(s, module, lookup) for s in stmt.body)
        case ast.Assign(targets=targets, value=value) if all(isinstance(t, (ast.Name, ast.Tuple)) for t in targets):
            return _calls(value, module, lookup)
        case ast.AnnAssign(value=value):
            return value is not None and _calls(value, module, lookup)
        case ast.If(test=test, body=body, orelse=orelse):
            if any(isinstance(n, ast.Name) and n.id == "__name__" for n in ast.walk(test)):
                return any(_acts(s, module, lookup) for s in orelse)
            return _calls(test, module, lookup) or any(_acts(s, module, lookup) for s in [*body, *orelse])
        case ast.Try():
            inside = [*stmt.body, *stmt.orelse, *stmt.finalbody, *(s for h in stmt.handlers for s in h.body)]
            return any(_acts(s, module, lookup) for s in inside)
    return True


def _calls(expr: ast.expr, module: Module, lookup: Lookup) -> bool:
    """Is something called that is not known to be quiet?"""
    return any(not _quiet(name) for name in _called(expr, module, lookup))


def _quiet(name: str | None) -> bool:
    return name is not None and (name in BUILTINS or listed(name, QUIET)) and not name.startswith("warnings.")


def _called(expr: ast.expr, module: Module, lookup: Lookup) -> Iterator[str | None]:
    for node in ast.walk(expr):
        if not isinstance(node, ast.Call):
            continue
        parts: list[str] = []
        func: ast.expr = node.func
        while isinstance(func, ast.Attribute):
            parts.append(func.attr)
            func = func.value
        if not isinstance(func, ast.Name):
            yield None
            continue
        meaning = lookup.meaning(module, func.id)
        if isinstance(meaning, External):
            yield ".".join([meaning.full, *reversed(parts)])
        else:
            yield func.id if meaning is None and not parts else None

"""Parameters that surely stand for an object: ``optimizer=None`` says by its value whether a function trains."""

from __future__ import annotations

import ast
from functools import lru_cache

from torchlift_convert.kept import children, walk
from torchlift_convert.names import access, declared_outer, parameters
from torchlift_convert.program import Frame, FunctionNode, Var, dotted
from torchlift_convert.scopes import globals_bound_in

# What these classes make has neither a length nor a truth of its own: it is true, and never None.
_MODULES = ("torch.optim.",)


def stands_for_object(name: str, frame: Frame) -> bool:
    """Is the name a parameter that stands for a caller's variable, which is only ever bound to an optimizer or so?"""
    where: Frame | None = frame
    while where is not None and name not in where.locals:
        where = where.outer
    if where is None or name not in where.bound or not isinstance(where.bound[name].expr, ast.Name):
        return False
    var = frame.resolve(name)
    return var.frame is not None and not var.frame.bound.get(var.name) and _only_objects(var)


def _only_objects(var: Var) -> bool:
    assert var.frame is not None
    scope = var.frame.scope
    if isinstance(scope, ast.Module):
        if var.name in globals_bound_in(scope):
            return False
    elif var.name in parameters(scope.args) or var.name in declared_outer(scope):
        return False
    inner = [n for n in walk(scope) if isinstance(n, ast.Nonlocal)]
    if any(var.name in n.names for n in inner):
        return False
    binding = _binding(scope, var.name)
    module = var.frame
    while module.outer is not None:
        module = module.outer
    return bool(binding) and all(_makes_object(stmt, module) for stmt in binding)


@lru_cache(maxsize=512)
def _binding(scope: ast.Module | FunctionNode, name: str) -> tuple[ast.stmt, ...]:
    """The innermost statements of a scope that bind a name."""
    found: list[ast.stmt] = []
    stack: list[ast.stmt] = list(scope.body)
    while stack:
        stmt = stack.pop()
        if name in access(stmt).binds:
            inside = [s for s in children(stmt) if isinstance(s, ast.stmt)]
            holding = [s for s in inside if name in access(s).binds]
            whole = isinstance(stmt, (ast.If, ast.While)) and not _walrus(stmt, name)
            found += [] if whole and holding else [stmt]
            stack += holding if whole else []
    return tuple(found)


def _walrus(stmt: ast.If | ast.While, name: str) -> bool:
    return name in access(stmt.test).binds


def _makes_object(stmt: ast.stmt, module: Frame) -> bool:
    """``optimizer = torch.optim.SGD(...)``"""
    match stmt:
        case ast.Assign(targets=[ast.Name()], value=ast.Call(func=func)):
            root, _, rest = (dotted(func) or "").partition(".")
            made = _imports(module.scope).get(root) if isinstance(module.scope, ast.Module) else None
            full = f"{made}.{rest}".rstrip(".") if made else ""
            return full.startswith(_MODULES) and full.rpartition(".")[2][:1].isupper()
    return False


@lru_cache(maxsize=64)
def _imports(tree: ast.Module) -> dict[str, str]:
    """What names that the module only ever imports stand for."""
    found: dict[str, str] = {}
    for stmt in tree.body:
        if isinstance(stmt, ast.Import):
            roots = {a.asname or a.name.partition(".")[0]: a for a in stmt.names}
            found |= {name: a.name if a.asname else name for name, a in roots.items()}
        elif isinstance(stmt, ast.ImportFrom) and not stmt.level:
            found |= {a.asname or a.name: f"{stmt.module}.{a.name}" for a in stmt.names}
    others = [s for s in tree.body if not isinstance(s, (ast.Import, ast.ImportFrom))]
    rebound = frozenset[str]().union(*(access(s).binds for s in others))
    return {name: full for name, full in found.items() if name not in rebound}

"""Where code mentions names of its module's top level, scopes followed, and what they mean."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from torchlift_convert.linking.library import Library, Module, wanted
from torchlift_convert.linking.lookup import Lookup, Meaning, Whole
from torchlift_convert.names import access, declared_outer, parameters

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True, eq=False)
class Mention:
    """``node``: a name, an attribute of a module as ``utils.step``, or a ``global`` statement; ``path``: its text."""

    node: ast.Name | ast.Attribute | ast.Global
    path: str
    meaning: Meaning | None


def mentions(module: Module, tree: ast.AST, lookup: Lookup) -> Iterator[Mention]:
    """Every mention of a global name in a statement of a module (or in the whole of it)."""
    inside: set[int] = set()
    for node, hidden in globals_in(tree, frozenset()):
        if id(node) in inside:
            continue
        match node:
            case ast.Attribute():
                root = root_of(node)
                if root is None or root.id in hidden:
                    continue
                found = through(node, module, lookup)
                if found is not None:
                    inside |= {id(n) for n in ast.walk(node)}
                    yield found
            case ast.Name(id=name) if name not in hidden:
                yield Mention(node, name, lookup.meaning(module, name))
            case ast.Global(names=names):
                for name in names:
                    yield Mention(node, name, lookup.meaning(module, name))


def through(node: ast.Attribute, module: Module, lookup: Lookup) -> Mention | None:
    """What ``package.module.name`` means; None when its root is no local module, or more stands behind that name."""
    parts: list[str] = []
    chain: list[ast.Attribute] = []
    inner: ast.expr = node
    while isinstance(inner, ast.Attribute):
        chain.append(inner)
        inner = inner.value
    if not isinstance(inner, ast.Name):
        return None
    meaning = lookup.meaning(module, inner.id)
    parts.append(inner.id)
    for one in reversed(chain):
        if not isinstance(meaning, Whole):
            return None
        meaning = lookup.meaning(meaning.module, one.attr) or lookup.member(meaning.module.name, one.attr)
        parts.append(one.attr)
        if not isinstance(meaning, Whole):
            return Mention(one, ".".join(parts), meaning) if one is node else None
    return None


def root_of(node: ast.expr) -> ast.Name | None:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node if isinstance(node, ast.Name) else None


def globals_in(node: ast.AST, hidden: frozenset[str]) -> Iterator[tuple[ast.AST, frozenset[str]]]:
    """Every node, outer before inner, with the names that are not the module's own there."""
    yield node, hidden
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            body: list[ast.stmt] | list[ast.expr] = node.body if isinstance(node.body, list) else [node.body]
            outside = declared_outer(node)
            own = frozenset[str]().union(*(access(s).binds for s in body)) - outside
            inner = (hidden - _declared(node)) | own | frozenset(parameters(node.args))
            inside = {id(s) for s in body}
            for child in ast.iter_child_nodes(node):
                if id(child) not in inside:
                    yield from globals_in(child, hidden)
            for part in body:
                yield from globals_in(part, inner)
        case ast.ClassDef():
            own = frozenset[str]().union(*(access(s).binds for s in node.body))
            for child in [*node.decorator_list, *node.bases, *node.keywords]:
                yield from globals_in(child, hidden)
            for stmt in node.body:
                yield from globals_in(stmt, hidden if isinstance(stmt, _FUNCTIONS) else hidden | own)
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            targets = {n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
            for child in ast.iter_child_nodes(node):
                yield from globals_in(child, hidden | targets)
        case _:
            for child in ast.iter_child_nodes(node):
                yield from globals_in(child, hidden)


def _declared(func: ast.AST) -> frozenset[str]:
    from torchlift_convert.names import own_nodes

    return frozenset(n for s in own_nodes(func) if isinstance(s, ast.Global) for n in s.names)


def patches(module: Module, library: Library) -> Iterator[tuple[str, str]]:
    """What a module does to others from outside: attributes that it stores into them; '*' where anything may happen."""
    aliases: dict[str, str] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                full = alias.name if isinstance(node, ast.Import) else f"{module.absolute(node)}.{alias.name}"
                held = full if alias.asname or isinstance(node, ast.ImportFrom) else full.partition(".")[0]
                if any(library.module(w) for w in wanted(module, node)) and library.module(held) is not None:
                    aliases[alias.asname or held.rpartition(".")[2]] = held
    if not aliases:
        return
    based = {id(n.value) for n in ast.walk(module.tree) if isinstance(n, ast.Attribute)}
    for node in ast.walk(module.tree):
        match node:
            case ast.Name(id=name, ctx=ast.Load()) if name in aliases and id(node) not in based:
                yield aliases[name], "*"
            case ast.Attribute(ctx=ast.Store() | ast.Del(), attr=attr, value=value):
                root = root_of(value)
                if root is not None and root.id in aliases:
                    parts = ast.unparse(value).split(".")[1:]
                    name = ".".join([aliases[root.id], *parts])
                    if library.module(name) is not None:
                        yield name, attr


def deals_in_globals(tree: ast.AST) -> bool:
    """``globals()["x"] = 1`` and its like."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="exec" | "vars" | "setattr" | "delattr")):
                pass
            case ast.Subscript(value=ast.Call(func=ast.Name(id="globals")), ctx=ast.Store() | ast.Del()):
                return True
            case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="globals")), attr="update")):
                return True
    return False

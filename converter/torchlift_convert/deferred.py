"""Functions that run at moments that the hooks do not see, and what they read."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from torchlift_convert.kept import walk
from torchlift_convert.names import own_nodes
from torchlift_convert.program import Frame, Item, Program, Var


def reached_functions(program: Program, frame: Frame, roots: Iterable[ast.AST]) -> dict[ast.AST, Frame]:
    """The script's functions that calls among these nodes lead to, each with a frame to read it in."""
    found: dict[ast.AST, Frame] = {}
    stack = [(n, frame) for n in roots]
    while stack:
        node, where = stack.pop()
        names = []
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            names = [node.id]
        for name in names:
            target = where.function(name)
            if target is not None and target[0] not in found:
                inner = Frame(*target)
                found[target[0]] = inner
                stack += [(n, inner) for n in own_nodes(target[0])]
            elif name in program.module.classes and program.module.classes[name] not in found:
                cls = program.module.classes[name]
                found[cls] = program.module
                for method in [m for m in cls.body if isinstance(m, ast.FunctionDef)]:
                    inner = Frame(method, program.module)
                    found[method] = inner
                    stack += [(n, inner) for n in own_nodes(method)]
    return found


def deferred_attributes(program: Program, hooks: list[Item]) -> set[Var]:
    """Attributes of the script's object that code outside its methods may use at any time.

    That is code in lambdas and functions besides the one that makes the object, and in methods that are handed on.
    """
    owner = program.owner
    assert owner is not None
    instance = owner.instance
    own = {*instance.scopes, instance.where}
    carried = {id(n) for i in hooks for n in walk(i.stmt)}  # they go with the hook
    later: list[ast.AST] = []
    called: set[int] = set()
    tree = program.script.tree
    for node in walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            if node not in own and id(node) not in carried:
                later += [node.body] if isinstance(node, ast.Lambda) else node.body
        elif isinstance(node, ast.Call):
            called.add(id(node.func))
    paths = [n for n in walk(tree) if isinstance(n, ast.Name) and "." in n.id]
    frame = program.frames[instance.scopes[0]]  # any that knows the object
    roots: list[ast.AST] = [n for n in paths if id(n) not in called and frame.function(n.id) is not None]
    roots += [n for part in later for n in walk(part) if isinstance(n, ast.Name) and "." in n.id]
    found = {frame.resolve(n.id) for n in roots if isinstance(n, ast.Name)}
    for func in reached_functions(program, frame, roots):
        inside = (n for n in own_nodes(func) if isinstance(n, ast.Name) and "." in n.id)
        found |= {frame.resolve(n.id) for n in inside}
    return found


def methods_along(program: Program, hooks: list[Item]) -> list[Item]:
    """Methods of the script's object that the hooks call: they go along with the hooks, in the order of the script."""
    if program.owner is None:
        return []
    found: dict[ast.AST, Frame] = {}
    stack = [(n, i.frame) for i in hooks for n in walk(i.shape)]
    stack += [(n, h.frame) for i in hooks for h in i.holes if h.value is not None for n in walk(h.value)]
    while stack:
        node, frame = stack.pop()
        target = frame.function(node.id) if isinstance(node, ast.Name) and "." in node.id else None
        if target is not None and target[0] not in found:
            inner = program.frames[target[0]]
            found[target[0]] = inner
            stack += [(n, inner) for n in walk(target[0])]
    order = program.owner.instance.scopes
    return [Item(m, found[m]) for m in order if m in found]

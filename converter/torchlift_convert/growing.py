"""Datasets whose length changes while the script runs: a loop asks for it in every epoch, a Trainer once."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from torchlift_convert.kept import walk
from torchlift_convert.names import own_nodes
from torchlift_convert.program import Program, Var

_GROWING = frozenset("append extend insert remove pop popleft appendleft clear add update discard".split())


def grows_behind(var: Var, made: ast.Call, program: Program) -> bool:
    """Is what a variable holds given another length behind the call that makes its loader, or in another function?"""
    home = var.frame.base.scope if var.frame is not None else None
    for scope, frame in program.frames.items():
        for node in own_nodes(scope):
            for owner in _resized(node):
                if isinstance(owner, ast.Name) and owner.id == var.name:
                    held = frame.resolve(owner.id)
                    same = held.frame is not None and held.frame.base.scope is home
                    if same and (scope is not home or owner.lineno > made.lineno):
                        return True
    return False


def length_varies(cls: ast.ClassDef, program: Program) -> bool:
    """Does ``__len__`` of a class look at attributes that something besides ``__init__`` sets or resizes?"""
    methods = {m.name: m for m in cls.body if isinstance(m, ast.FunctionDef)}
    told = {n.attr for n in walk(methods["__len__"]) if isinstance(n, ast.Attribute)} if "__len__" in methods else set()
    first = {id(n) for n in walk(methods["__init__"])} if "__init__" in methods else set()
    own = {id(n) for n in walk(cls)}
    for node in walk(program.script.tree):
        inside = id(node) in own
        if id(node) in first or not told:
            continue
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr in told:
            if inside or not _of_self(node):
                return True
        if any(isinstance(o, ast.Attribute) and o.attr in told and (inside or not _of_self(o)) for o in _resized(node)):
            return True
    return False


def _of_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "self"


def _resized(node: ast.AST) -> Iterator[ast.expr]:
    """What a node may make longer or shorter."""
    match node:
        case ast.Call(func=ast.Attribute(value=owner, attr=attr)) if attr in _GROWING:
            yield owner
        case ast.AugAssign(target=ast.Name() | ast.Attribute() as target):
            yield target
        case ast.Subscript(value=owner, slice=ast.Slice(), ctx=ast.Store()) | ast.Subscript(value=owner, ctx=ast.Del()):
            yield owner

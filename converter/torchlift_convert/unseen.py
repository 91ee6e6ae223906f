"""Statements that may bind variables of the module without naming them: ``exec(open("configurator.py").read())``."""

from __future__ import annotations

import ast

from torchlift_convert.program import Frame, Program, Var

_NAMESPACES = frozenset({"globals", "vars", "locals"})


def binds_unseen(node: ast.AST, frame: Frame, program: Program) -> bool:
    """Is the node one that may bind any variable of the module?"""
    match node:
        case ast.Call(func=ast.Name(id="exec") as func):
            return program.canonical(func, frame) == "exec"
        case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id=name)), attr="update" | "__setitem__")):
            return name in _NAMESPACES
        case ast.Subscript(value=ast.Call(func=ast.Name(id=name)), ctx=ast.Store()):
            return name in _NAMESPACES
    return False


def module_variables(program: Program) -> frozenset[Var]:
    """What such a statement may bind: the module's variables, not its functions, classes and imports."""
    module = program.module
    kept = {*module.functions, *module.classes, *program.imports}
    return frozenset(Var(module, name) for name in module.locals - kept)

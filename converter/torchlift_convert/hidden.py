"""Training that no plain call from the script's top level leads to."""

from __future__ import annotations

import ast

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.kept import walk
from torchlift_convert.program import Program
from torchlift_convert.syntax import blocks_of, is_backward, nodes_of


class Hidden(Refuse):
    """Nothing at the top level of the file leads to the training in it."""


def refuse_hidden(program: Program) -> None:
    """Say where the backward() is that no statement of the script leads to by plain calls."""
    script = program.script
    for stmt in script.statements:
        calls = [n for n in nodes_of(stmt) if is_backward(n)]
        if not calls or list(blocks_of(stmt)):
            continue
        around: list[ast.stmt] = []
        parent = script.parent[stmt]
        while parent is not None:
            around.append(parent)
            parent = script.parent[parent]
        classes = [a.name for a in around if isinstance(a, ast.ClassDef)]
        functions = [a.name for a in around if isinstance(a, (ast.FunctionDef, ast.AsyncFunctionDef))]
        if classes:
            untold = program.untold
            why = f": {untold.why} (line {untold.node.lineno})" if untold is not None else ""
            kind = Refuse if acts(script.tree) else Hidden
            raise kind(
                "TL107",
                f"The training loop sits in a method of the class '{classes[0]}'{why}.",
                stmt,
                "Make one object of the class, keep it under a name, and use its attributes in its own methods."
                if why
                else "Call the method that trains from the script's top level or from main().",
            )
        if functions:
            kind = Refuse if script.is_linked(stmt) else Hidden
            raise kind(
                "TL107",
                f"Nothing in this file calls {functions[-1]}() by its name, and the training loop is in there.",
                stmt,
                f"Call {functions[-1]}() from the script's top level or from main().",
            )


def acts(tree: ast.Module) -> bool:
    """Does a file do more than define things, so that it may be a script?"""
    return any(
        isinstance(s, (ast.Expr, ast.For, ast.While, ast.If, ast.With, ast.Try, ast.Assign)) and _calls(s)
        for s in tree.body
    )


def _calls(stmt: ast.stmt) -> bool:
    return any(isinstance(n, ast.Call) for n in walk(stmt))

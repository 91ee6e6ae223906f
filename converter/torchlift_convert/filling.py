"""A statement with placeholders in it, and without some of what stands inside it."""

from __future__ import annotations

import ast
import copy

from torchlift_convert.kept import forget


def fill(stmt: ast.stmt, names: dict[ast.expr, str], without: tuple[ast.stmt, ...]) -> ast.stmt:
    """A copy with a name in the place of each call, and without the statements that are not carried over."""
    memo: dict[int, object] = {}
    clone = copy.deepcopy(stmt, memo)
    filled = {id(memo[id(call)]): name for call, name in names.items()}
    dropped = {id(memo[id(gone)]) for gone in without}

    class Fill(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST | None:
            if id(node) in filled:
                return ast.copy_location(ast.Name(filled[id(node)], ast.Load()), node)
            if id(node) in dropped:
                return None
            node = super().visit(node)
            if isinstance(node, (ast.If, ast.For)) and not node.body:
                node.body = [ast.copy_location(ast.Pass(), node)]
            return node

    filled_stmt = Fill().visit(clone)
    assert isinstance(filled_stmt, ast.stmt)
    return forget(filled_stmt)

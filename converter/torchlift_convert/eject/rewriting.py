"""Carries code to where it stands now: Lightning's names become plain ones, local names those of the place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import libcst as cst

from torchlift_convert.rewrite import Origins

Statements = list[cst.BaseStatement]
Replacement = Callable[[cst.Call], cst.BaseExpression]

_SIMPLE = (cst.Name, cst.Attribute, cst.Call, cst.Subscript, cst.Integer, cst.SimpleString, cst.Tuple)


@dataclass(eq=False)
class Wording:
    """What is called what.

    ``paths``: dotted names ('self.current_epoch') and the code in their place. ``calls``: dotted names of functions and
    what a call of them becomes. ``prefixes``: objects of which each attribute gets another owner ('self.hparams' to
    'model'). ``names``: plain names.
    """

    paths: dict[str, str] = field(default_factory=dict)
    calls: dict[str, Replacement] = field(default_factory=dict)
    prefixes: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    entries: dict[str, str] = field(default_factory=dict)  # 'outputs' and what its one entry is


def dotted(node: cst.BaseExpression) -> str | None:
    parts: list[str] = []
    while isinstance(node, cst.Attribute):
        parts.append(node.attr.value)
        node = node.value
    return ".".join([node.value, *reversed(parts)]) if isinstance(node, cst.Name) else None


class Rewriter(cst.CSTTransformer):
    """One pass over a statement.

    ``statements``: by id, what stands for a statement of the original (an empty list: nothing).
    """

    def __init__(self, wording: Wording, origins: Origins, statements: Mapping[int, Statements] | None = None) -> None:
        super().__init__()
        self.wording, self.origins = wording, origins
        self.statements = statements or {}
        self.done: dict[int, cst.BaseExpression] = {}
        self.wrapped: set[int] = set()
        self.kept_names: set[int] = set()
        self.owners: dict[int, str] = {}

    # -- what is not looked into ----------

    def on_visit(self, node: cst.CSTNode) -> bool:
        if id(node) in self.statements:
            return False
        if isinstance(node, cst.Attribute):
            self.kept_names.add(id(node.attr))
            text = dotted(node)
            if text in self.wording.paths:
                self.done[id(node)] = self._wrap(self.wording.paths[text])
                return False
            owner = dotted(node.value)
            if owner in self.wording.prefixes:
                self.owners[id(node)] = self.wording.prefixes[owner]
        elif isinstance(node, cst.Subscript) and isinstance(node.value, cst.Name):
            if node.value.value in self.wording.entries:
                self.done[id(node)] = self._wrap(self.wording.entries[node.value.value])
                return False
        elif isinstance(node, (cst.Arg, cst.Param)):
            name = node.keyword if isinstance(node, cst.Arg) else node.name
            if name is not None:
                self.kept_names.add(id(name))
        elif isinstance(node, cst.Call) and isinstance(node.func, (cst.Attribute, cst.Name)):
            text = dotted(node.func)
            if text in self.wording.calls:
                self.kept_names.add(id(node.func))
                self.owners[id(node.func)] = ""
        return True

    def _wrap(self, code: str) -> cst.BaseExpression:
        expr = cst.parse_expression(code)
        if isinstance(expr, _SIMPLE):
            return expr
        expr = expr.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        self.wrapped.add(id(expr))
        return expr

    # -- what it becomes ----------

    def on_leave(self, original: cst.CSTNode, updated: cst.CSTNode) -> object:  # type: ignore[override]
        if id(original) in self.statements:
            nodes = self.statements[id(original)]
            return cst.FlattenSentinel(nodes) if nodes else cst.RemoveFromParent()
        if id(original) in self.done:
            return self.done[id(original)]
        result: object = updated
        match updated:
            case cst.Name() if id(original) not in self.kept_names and updated.value in self.wording.names:
                new = self.wording.names[updated.value]
                result = updated.with_changes(value=new) if new.isidentifier() else self._wrap(new)
            case cst.Attribute() if self.owners.get(id(original)):
                result = updated.with_changes(value=cst.parse_expression(self.owners[id(original)]))
            case cst.Call() if isinstance(original, cst.Call) and dotted(original.func) in self.wording.calls:
                result = self.wording.calls[dotted(original.func) or ""](updated)
            case cst.Arg() | cst.FormattedStringExpression() | cst.Assign() | cst.Return() | cst.Index():
                result = self._unwrapped(updated)
            case cst.IndentedBlock() if not updated.body:
                result = updated.with_changes(body=[cst.parse_statement("pass")])
            case cst.SimpleStatementLine() if not updated.body:
                result = cst.RemoveFromParent()
        if isinstance(original, cst.SimpleStatementLine) and isinstance(result, cst.SimpleStatementLine):
            if original.deep_equals(result):
                return original  # the user's own line, which nobody formats
        if isinstance(result, cst.CSTNode):
            self.origins.relabel(original, result)
        return result

    def _unwrapped(self, node: cst.CSTNode) -> cst.CSTNode:
        name = "expression" if isinstance(node, cst.FormattedStringExpression) else "value"
        inner = getattr(node, name)
        return node.with_changes(**{name: inner.with_changes(lpar=[], rpar=[])}) if id(inner) in self.wrapped else node


def rewritten(nodes: list[cst.BaseStatement], rewriter: Rewriter) -> Statements:
    """Statements after one pass, those that vanish left out."""
    out: Statements = []
    for node in nodes:
        new = node.visit(rewriter)
        if isinstance(new, cst.FlattenSentinel):
            out += list(new)
        elif isinstance(new, cst.BaseStatement):
            out.append(new)
    return out


def comment_lines(nodes: list[cst.CSTNode]) -> list[cst.EmptyLine]:
    """The comments inside nodes, each as a line of its own."""
    found: list[cst.EmptyLine] = []

    class Collect(cst.CSTVisitor):
        def visit_Comment(self, node: cst.Comment) -> None:
            found.append(cst.EmptyLine(comment=node))

    for node in nodes:
        node.visit(Collect())
    return found


def with_comments(nodes: Statements, comments: list[cst.EmptyLine]) -> Statements:
    """Put comments in front of the first statement."""
    if not nodes or not comments:
        return nodes
    first = nodes[0]
    return [first.with_changes(leading_lines=[*comments, *first.leading_lines]), *nodes[1:]]  # type: ignore[attr-defined]

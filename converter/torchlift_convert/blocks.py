"""Build statement lists of the output: carried statements, generated lines, and the comments between them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import libcst as cst

from torchlift_convert.environment import Environment
from torchlift_convert.kept import walk
from torchlift_convert.program import Item
from torchlift_convert.rewrite import Edits, Origins, Rewriter
from torchlift_convert.syntax import Script

Statement = cst.SimpleStatementLine | cst.BaseCompoundStatement


@dataclass(eq=False)
class Block:
    """A statement list under construction. Comments of statements that went away wait for the next one."""

    script: Script
    origins: Origins
    where: str  # what a reader would call this place
    body: list[Statement] = field(default_factory=list)
    waiting: list[cst.EmptyLine] = field(default_factory=list)
    tight: bool = False  # no blank lines between carried statements
    spaced: bool = False  # a blank line is due before the next statement
    led: list[tuple[Statement, Statement]] = field(default_factory=list)  # statements that got other lines above them

    def _after_generated(self) -> bool:
        return bool(self.body) and id(self.body[-1]) not in self.origins.stmt_of

    def _tight(self, node: Statement) -> Statement:
        """The statement without blank lines above it."""
        lead = [e for e in getattr(node, "leading_lines", ()) if e.comment is not None]
        changed = node.with_changes(leading_lines=lead)
        self.origins.relabel(node, changed)
        return changed

    def carry(self, item: Item, env: Environment, edits: Edits) -> None:
        """Add one statement of the script, in the names of its new place."""
        if item.synthetic:
            if isinstance(item.stmt, ast.If):
                self._leave_if(item, env, edits)
            else:
                self._bind(item, env, edits)
            return
        node = self._node(item.stmt)
        rewriter = Rewriter(self.script, env, item, edits, self.origins)
        result = node.visit(rewriter)
        made = list(result) if isinstance(result, cst.FlattenSentinel) else [result]
        kept = [n for n in made if isinstance(n, (cst.SimpleStatementLine, cst.BaseCompoundStatement))]
        self.origins.place(item.stmt, self.where)
        if not kept:
            self.drop(item.stmt)
        for one in kept:
            if id(one) not in self.origins.stmt_of:
                self.origins.record(one, item.stmt)
            self.add(self._tight(one) if self.tight or self._after_generated() else one)

    def _leave_if(self, item: Item, env: Environment, edits: Edits) -> None:
        """The end of a ``while`` loop: a look at its condition behind each round."""
        from torchlift_convert.rewrite import source_of

        assert isinstance(item.stmt, ast.If)
        test, word = item.stmt.test, ""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            test, word = test.operand, "not "
        text = source_of(test, item.frame, env, edits)
        text = f"({text})" if word and isinstance(test, (ast.BoolOp, ast.IfExp, ast.NamedExpr, ast.Lambda)) else text
        leave = [line for line in edits.leave if line != "return"]  # nothing follows
        self.line("\n    ".join([f"if {word}{text}:", *leave]) + "\n")

    def _bind(self, item: Item, env: Environment, edits: Edits) -> None:
        from torchlift_convert.rewrite import source_of

        assert isinstance(item.stmt, ast.Assign)
        hole = item.holes[0]
        assert hole.value is not None
        bound = item.stmt.targets[0]
        names = [n.id for n in walk(bound) if isinstance(n, ast.Name)]
        target = ", ".join(env.name(item.frame, n) or n for n in names)
        target += "," if isinstance(bound, ast.Tuple) and len(names) == 1 else ""
        value = source_of(hole.value, hole.frame, env, edits)
        if target != value:
            self.line(f"{target} = {value}")

    def _node(self, stmt: ast.stmt) -> Statement:
        """The libcst statement; one of several small statements on a line becomes a line of its own."""
        line = self.script.line.get(stmt)
        node = self.script.node[stmt]
        if line is None and isinstance(node, cst.BaseSmallStatement):  # ``for x in xs: step(x)``
            return cst.SimpleStatementLine([node.with_changes(semicolon=cst.MaybeSentinel.DEFAULT)])
        if line is None:
            assert isinstance(node, cst.BaseCompoundStatement)
            return node
        if len(line.body) == 1:
            return line
        assert isinstance(node, cst.BaseSmallStatement)
        first, last = node is line.body[0], node is line.body[-1]
        alone = line.with_changes(
            body=[node.with_changes(semicolon=cst.MaybeSentinel.DEFAULT)],
            leading_lines=line.leading_lines if first else [],
            trailing_whitespace=line.trailing_whitespace if last else cst.TrailingWhitespace(),
        )
        return alone

    def drop(self, stmt: ast.stmt) -> None:
        """A statement that is not carried over leaves its comments to the next one."""
        line = self.script.line.get(stmt)
        node = line if line is not None else self.script.node[stmt]
        if line is None or line.body[0] is self.script.node[stmt]:
            self.waiting += _comments(getattr(node, "leading_lines", ()))
        if line is not None and line.body[-1] is self.script.node[stmt] and line.trailing_whitespace.comment:
            self.waiting.append(cst.EmptyLine(comment=line.trailing_whitespace.comment))
        if line is None:
            self.waiting += inner_comments(node)

    def drop_header(self, stmt: ast.stmt) -> None:
        """A loop that is replaced leaves the comments above it; those inside went with its statements."""
        node = self.script.node[stmt]
        self.waiting += _lead(node)
        header = getattr(getattr(node, "body", None), "header", None)
        if header is not None and header.comment is not None:
            self.waiting.append(cst.EmptyLine(comment=header.comment))

    def open(self, stmt: ast.stmt) -> None:
        """A statement that went away around others leaves the comments above it and on its first line."""
        node = self.script.node[stmt]
        self.waiting += _comments(_lead(node))
        body = getattr(node, "body", None)
        if isinstance(body, cst.IndentedBlock) and body.header.comment is not None:
            self.waiting.append(cst.EmptyLine(comment=body.header.comment))

    def leave(self, lines: Iterable[cst.EmptyLine]) -> None:
        """Comments that stood at the end of a block."""
        self.waiting += _comments(lines)

    def line(self, text: str, blank: bool = False) -> None:
        """Add a generated statement."""
        node = cst.parse_statement(text)
        assert isinstance(node, (cst.SimpleStatementLine, cst.BaseCompoundStatement))
        self.add(node.with_changes(leading_lines=[cst.EmptyLine(indent=False)]) if blank else node)

    def add(self, node: Statement) -> None:
        if self.spaced:
            self.waiting, self.spaced = [cst.EmptyLine(indent=False), *self.waiting], False
        if self.waiting:
            lead = [*self.waiting, *node.leading_lines]
            changed = node.with_changes(leading_lines=lead)
            self.origins.relabel(node, changed)
            self.led.append((node, changed))
            node, self.waiting = changed, []
        self.body.append(node)

    def block(self) -> cst.IndentedBlock:
        """The list as the body of a function or class, its first line flush."""
        body = list(self.body) or [cst.ensure_type(cst.parse_statement("pass"), cst.SimpleStatementLine)]
        first = body[0]
        lead = list(getattr(first, "leading_lines", ()))
        while lead and lead[0].comment is None:
            lead.pop(0)
        body[0] = first.with_changes(leading_lines=lead)
        self.origins.relabel(first, body[0])
        return cst.IndentedBlock(body=body, footer=self.waiting)


def _lead(node: cst.CSTNode) -> list[cst.EmptyLine]:
    return list(getattr(node, "leading_lines", ()))


def _comments(lines: Iterable[cst.EmptyLine]) -> list[cst.EmptyLine]:
    return [line for line in lines if line.comment is not None]


def inner_comments(node: cst.CSTNode) -> list[cst.EmptyLine]:
    """Every comment inside a compound statement, each on a line of its own."""
    found: list[cst.EmptyLine] = []

    class Comments(cst.CSTVisitor):
        def visit_Comment(self, comment: cst.Comment) -> None:
            found.append(cst.EmptyLine(comment=comment))

    lead = {id(line.comment) for line in getattr(node, "leading_lines", ()) if line.comment}
    node.visit(Comments())
    return [line for line in found if id(line.comment) not in lead]


def function(name: str, params: Sequence[str], block: Block) -> cst.FunctionDef:
    """``def name(self, params):`` around a statement list."""
    node = cst.parse_statement(f"def {name}({', '.join(['self', *params])}):\n    pass\n")
    made = cst.ensure_type(node, cst.FunctionDef).with_changes(body=_without_last_return(block.block()))
    return made.with_changes(leading_lines=[cst.EmptyLine(indent=False)])


def _without_last_return(body: cst.BaseSuite) -> cst.BaseSuite:
    """A block at the end of a function, without a bare ``return`` that ends it behind something else."""
    if not isinstance(body, cst.IndentedBlock):
        return body
    *before, last = body.body
    if isinstance(last, cst.If):
        return body.with_changes(body=[*before, _without_last_returns(last)])
    match last:
        case cst.SimpleStatementLine(body=[cst.Return(value=None)]) if before:
            comments = [line.comment for line in last.leading_lines] + [last.trailing_whitespace.comment]
            return body.with_changes(body=before) if not any(comments) else body
    return body


def _without_last_returns(stmt: cst.If) -> cst.If:
    """The same in each branch of an ``if``."""
    orelse = stmt.orelse
    if isinstance(orelse, cst.If):
        orelse = _without_last_returns(orelse)
    elif isinstance(orelse, cst.Else):
        orelse = orelse.with_changes(body=_without_last_return(orelse.body))
    return stmt.with_changes(body=_without_last_return(stmt.body), orelse=orelse)


def class_(name: str, base: str, body: Sequence[Statement]) -> cst.ClassDef:
    """``class name(base):`` around its methods."""
    node = cst.ensure_type(cst.parse_statement(f"class {name}({base}):\n    pass\n"), cst.ClassDef)
    first = body[0].with_changes(leading_lines=[])
    blank = [cst.EmptyLine(indent=False), cst.EmptyLine(indent=False)]
    return node.with_changes(body=cst.IndentedBlock(body=[first, *body[1:]]), leading_lines=blank)

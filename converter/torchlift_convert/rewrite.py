"""One transformer that carries a statement to its new place: names, moves, returns and exits, and nothing else.

It executes what the plan says and decides nothing. Formatting and comments stay as the user wrote them.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import libcst as cst

from torchlift_convert.environment import Environment, Place
from torchlift_convert.folding import decided
from torchlift_convert.identities import is_identity, without_identities
from torchlift_convert.kept import walk
from torchlift_convert.known import branch, without_known
from torchlift_convert.methods import spelled
from torchlift_convert.program import Frame, Hole, Item
from torchlift_convert.selfshowing import shown
from torchlift_convert.syntax import Script

_SCOPES = (cst.FunctionDef, cst.Lambda, cst.ListComp, cst.SetComp, cst.DictComp, cst.GeneratorExp)


@dataclass(eq=False)
class Origins:
    """Which original statement each written statement comes from."""

    stmt_of: dict[int, ast.stmt] = field(default_factory=dict)  # by id of the written node
    alive: list[cst.CSTNode] = field(default_factory=list)  # ids stay valid as long as the nodes live
    places: dict[ast.stmt, list[str]] = field(default_factory=dict)  # where a statement was carried to

    def place(self, stmt: ast.stmt, where: str) -> None:
        self.places.setdefault(stmt, []).append(where)

    def record(self, node: cst.CSTNode, stmt: ast.stmt) -> None:
        self.stmt_of[id(node)] = stmt
        self.alive.append(node)

    def relabel(self, old: cst.CSTNode, new: cst.CSTNode) -> None:
        """``new`` stands for what ``old`` stood for."""
        if id(old) in self.stmt_of:
            self.record(new, self.stmt_of[id(old)])


@dataclass(frozen=True, eq=False)
class Edits:
    """What a region asks of the rewriter besides names.

    ``gone``: statements inside compound ones that are not carried over. ``batch``: names whose ``.to(device)`` the
    Trainer does. ``leave``/``skip``: statements that stand for ``break`` and ``continue`` of the batch or epoch loop.
    ``manual``: ``loss.backward()`` becomes ``self.manual_backward(loss)``.
    """

    gone: Mapping[ast.stmt, object] = field(default_factory=dict)
    batch: frozenset[str] = frozenset()
    leave: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    manual: bool = False
    global_names: frozenset[str] = frozenset()


class Rewriter(cst.CSTTransformer):
    """Rewrites one statement instance."""

    def __init__(self, script: Script, env: Environment, item: Item, edits: Edits, origins: Origins) -> None:
        super().__init__()
        self.env, self.item, self.edits, self.origins = env, item, edits, origins
        self.frame: Frame = item.frame
        self.stmts = _reverse(script)
        self.fixed: set[int] = set()  # ids of Name nodes that are not variables
        self.hidden: list[frozenset[str]] = []  # names bound by comprehensions, lambdas, functions around here
        self.elifs: set[int] = set()  # ids of the ``elif`` of other statements
        self.loops = 0
        self.quotes: list[str] = []  # of the f-strings around here
        self.holes = {_callee(h.call): h for h in item.holes if h.placeholder == "__returned__"}

    # -- which Name nodes are variables ----------

    def on_visit(self, node: cst.CSTNode) -> bool:
        match node:
            case cst.Attribute(attr=attr):
                self.fixed.add(id(attr))
            case cst.Arg(keyword=cst.Name() as keyword):
                self.fixed.add(id(keyword))
            case cst.Param(name=name):
                self.fixed.add(id(name))
            case cst.FunctionDef(name=name) | cst.ClassDef(name=name):
                self.fixed.add(id(name))
            case cst.Import() | cst.ImportFrom() | cst.Global() | cst.Nonlocal():
                return False
            case cst.For() | cst.While():
                self.loops += 1
            case cst.FormattedString(end=quote):
                self.quotes.append(quote)
            case cst.If(orelse=cst.If() as other):
                self.elifs.add(id(other))
        if isinstance(node, _SCOPES):
            self.hidden.append(_bound_in(node))
        return True

    def on_leave(self, original: cst.CSTNode, updated: cst.CSTNode) -> object:  # type: ignore[override]
        if isinstance(original, _SCOPES):
            self.hidden.pop()
        if isinstance(original, (cst.For, cst.While)):
            self.loops -= 1
        if isinstance(original, cst.FormattedString):
            self.quotes.pop()
        stmt = self.stmts.get(id(original))
        if stmt is not None and stmt in self.edits.gone and stmt is not self.item.stmt:
            return cst.RemoveFromParent()
        result = self._left(original, updated)
        if stmt is not None and isinstance(result, (cst.BaseStatement, cst.BaseSmallStatement)):
            self.origins.record(result, stmt)
        elif stmt is not None and isinstance(result, cst.FlattenSentinel):
            for one in result:
                self.origins.record(one, stmt)
        return result

    def _left(self, original: cst.CSTNode, updated: cst.CSTNode) -> object:
        match updated:
            case cst.Name() if isinstance(original, cst.Name):
                return self._name(original, updated)
            case cst.Attribute() if isinstance(original, cst.Attribute):
                return self._path(original) or self._option(original) or updated
            case cst.Call() if isinstance(original, cst.Call):
                return self._call(original, updated)
            case cst.If() if (taken := self._decided(original)) is not None:
                return branch(updated, taken, nested=id(original) in self.elifs)
            case cst.FormattedStringExpression() if (parts := shown(original, updated)) is not None:
                return parts
            case (
                cst.FormattedStringExpression()
                | cst.BooleanOperation()
                | cst.IfExp()
                | cst.Comparison()
                | cst.UnaryOperation()
            ):
                return without_known(original, updated)
            case cst.SimpleStatementLine(body=[*_, last]) if self._exit(last):
                return _lines(self._exit(last), updated)
            case cst.SimpleStatementSuite(body=[*_, last]) if self._exit(last):
                line = cst.SimpleStatementLine(updated.body, trailing_whitespace=updated.trailing_whitespace)
                return cst.IndentedBlock([*_lines(self._exit(last), line)])
            case cst.SimpleStatementLine() if is_identity(updated) and not is_identity(original):
                return cst.RemoveFromParent()
            case cst.Assign() if isinstance(original, cst.Assign):
                return without_identities(original, updated)
            case cst.If(body=cst.IndentedBlock(body=[]), orelse=None) | cst.Else(body=cst.IndentedBlock(body=[])):
                return cst.RemoveFromParent()
            case cst.If(body=cst.IndentedBlock(body=[]) as block) | cst.For(body=cst.IndentedBlock(body=[]) as block):
                return updated.with_changes(body=block.with_changes(body=[cst.parse_statement("pass")]))
            case cst.If():
                return without_known(original, updated)
        return updated

    def _decided(self, original: cst.CSTNode) -> bool | None:
        """Whether the condition of an ``if`` is known here."""
        stmt = self.stmts.get(id(original))
        if not isinstance(stmt, ast.If) or any(
            isinstance(n, ast.Name) and n.id in names for names in self.hidden for n in walk(stmt.test)
        ):
            return None
        return decided(stmt.test, self.frame)

    def _exit(self, stmt: cst.BaseSmallStatement) -> tuple[str, ...]:
        """What stands for a ``break`` or ``continue`` of the loop that became a hook."""
        if self.loops:
            return ()
        return (
            self.edits.leave
            if isinstance(stmt, cst.Break)
            else self.edits.skip
            if isinstance(stmt, cst.Continue)
            else ()
        )

    # -- expressions ----------

    def _name(self, original: cst.Name, updated: cst.Name) -> cst.BaseExpression:
        name = original.value
        if id(original) in self.fixed or any(name in names for names in self.hidden):
            return updated
        text = self.env.name(self.frame, name)
        return updated if text is None else _expression(self._quoted(text), updated)

    def _quoted(self, text: str) -> str:
        """The text with quotes that do not end the f-string that it stands in (before Python 3.12 they would)."""
        for quote in self.quotes:
            other = "'" if quote == '"' else '"'
            if quote in text and other not in text:
                text = text.replace(quote, other)
        return text

    def _path(self, original: cst.Attribute) -> cst.BaseExpression | None:
        """An attribute of the script's own object."""
        if not self._names_object(original.value):
            return None
        text = self.env.name(self.frame, path_of(original) or "")
        return None if text is None else _expression(self._quoted(text), original)

    def _names_object(self, root: cst.BaseExpression) -> bool:
        if not isinstance(root, cst.Name) or not self.frame.is_object(root.value):
            return False
        return root.value == "self" or not any(root.value in names for names in self.hidden)

    def _option(self, original: cst.Attribute) -> cst.BaseExpression | None:
        root = path_of(original.value)
        if root is None or any(root.partition(".")[0] in names for names in self.hidden):
            return None
        if "." in root and not self._names_object(cst.Name(root.partition(".")[0])):
            return None
        text = self.env.option(self.frame, root, original.attr.value)
        return None if text is None else _expression(self._quoted(text), original)

    def _call(self, original: cst.Call, updated: cst.Call) -> cst.BaseExpression:
        hole = self.holes.get(_cst_callee(original) or "")
        if hole is not None:
            return self._filled(hole)
        match original.func:
            case cst.Attribute(value=value, attr=cst.Name(value="to" | "cuda")) if self._is_move(original):
                assert isinstance(updated.func, cst.Attribute)
                if _root(value) in self.edits.batch or self.env.place in (Place.INIT, Place.DATA):
                    return updated.func.value
                if self.env.place in (Place.HOOK, Place.METHOD):
                    return _moved(updated.func)
            case cst.Attribute(attr=cst.Name(value="backward")) if (
                self.edits.manual and _root(original.func) != "torch"
            ):
                assert isinstance(updated.func, cst.Attribute)
                target = cst.Arg(updated.func.value)
                args = [target.with_changes(comma=cst.Comma(cst.SimpleWhitespace(""), cst.SimpleWhitespace(" ")))]
                args = [*args, *updated.args] if updated.args else [target]
                return updated.with_changes(func=cst.parse_expression("self.manual_backward"), args=args)
        return updated

    def _is_move(self, call: cst.Call) -> bool:
        """``.to(device)`` of the script's device, or ``.cuda()``; ``.to(torch.float64)`` is none."""
        assert isinstance(call.func, cst.Attribute)
        if call.func.attr.value == "cuda":
            return True
        devices = [a.value for a in call.args if a.keyword is None or a.keyword.value == "device"]
        rest = [a for a in call.args if a.keyword is not None and a.keyword.value not in ("device", "non_blocking")]
        if len(devices) != 1 or rest:
            return False
        match devices[0]:
            case cst.Name(value=name):
                return self._names_device(name)
            case cst.Attribute(value=root) as path if self._names_object(root):
                return self._names_device(path_of(path) or "")
            case cst.SimpleString(value=text):
                return text.strip("\"'").partition(":")[0] in ("cuda", "cpu", "mps")
        return False

    def _names_device(self, name: str) -> bool:
        from torchlift_convert.roles import variable

        return variable(ast.Name(name, ast.Load()), self.frame) in self.env.plan.roles.devices

    def _filled(self, hole: Hole) -> cst.BaseExpression:
        """What a followed function returns, in the names of this place."""
        assert hole.value is not None
        return rewrite_expression(hole.value, hole.frame, self.env, self.edits)


def rewrite_expression(expr: ast.expr, frame: Frame, env: Environment, edits: Edits) -> cst.BaseExpression:
    """An expression of the script in the names of a place."""
    text = ast.get_source_segment(env.plan.program.script.text, expr) if hasattr(expr, "lineno") else None
    if text is None or not _is_text_of(text, expr):
        text = ast.unparse(expr)
    return _rewritten(f"({text})" if "\n" in text else text, frame, env, edits)


def _is_text_of(text: str, expr: ast.expr) -> bool:
    """What was made in the place of a statement bears its position, but has another text."""
    try:
        return ast.dump(ast.parse(f"({text})", mode="eval").body) == ast.dump(expr)
    except SyntaxError:
        return False


def rewrite_text(text: str, frame: Frame, env: Environment) -> str:
    """An expression that stands nowhere in the script, in the names of a place."""
    return cst.Module([]).code_for_node(_rewritten(text, frame, env, Edits()))


def _rewritten(source: str, frame: Frame, env: Environment, edits: Edits) -> cst.BaseExpression:
    item = Item(ast.Expr(ast.Constant(None)), frame)
    result = cst.parse_expression(source).visit(Rewriter(env.plan.program.script, env, item, edits, Origins()))
    assert isinstance(result, cst.BaseExpression)
    return result


def source_of(expr: ast.expr, frame: Frame, env: Environment, edits: Edits | None = None) -> str:
    """The text of an expression in the names of a place."""
    return cst.Module([]).code_for_node(rewrite_expression(expr, frame, env, edits or Edits()))


_REVERSED: dict[int, tuple[Script, dict[int, ast.stmt]]] = {}


def unbracketed(target: str) -> str:
    """``a, b`` for ``(a, b)``; ``(a, b), (c, d)`` has no brackets of its own."""
    bare = target[1:-1].strip()
    try:
        alike = target.startswith("(") and ast.dump(ast.parse(f"{bare} = 0")) == ast.dump(ast.parse(f"{target} = 0"))
    except SyntaxError:
        return target
    return bare if alike else target


def _reverse(script: Script) -> dict[int, ast.stmt]:
    """Statements by the id of their libcst node; a line of one small statement counts as that statement."""
    held = _REVERSED.get(id(script))
    if held is None or held[0] is not script:
        found = {id(n): s for s, n in script.node.items()}
        found |= {id(line): s for s, line in script.line.items() if len(line.body) == 1}
        _REVERSED.clear()
        held = _REVERSED[id(script)] = (script, found)
    return held[1]


def _expression(text: str, like: cst.BaseExpression) -> cst.BaseExpression:
    node = cst.parse_expression(text)
    return node.with_changes(lpar=like.lpar, rpar=like.rpar) if like.lpar else node


def _lines(texts: Sequence[str], like: cst.SimpleStatementLine) -> cst.FlattenSentinel[cst.SimpleStatementLine]:
    """Lines in place of one that ends in a ``break`` or ``continue``; what stands before that on the line stays."""
    made = [cst.ensure_type(cst.parse_statement(t), cst.SimpleStatementLine) for t in texts]
    if len(like.body) > 1:
        made.insert(
            0,
            cst.SimpleStatementLine([*like.body[:-2], like.body[-2].with_changes(semicolon=cst.MaybeSentinel.DEFAULT)]),
        )
    made[0] = made[0].with_changes(leading_lines=like.leading_lines)
    made[-1] = made[-1].with_changes(trailing_whitespace=like.trailing_whitespace)
    return cst.FlattenSentinel(made)


def _moved(func: cst.Attribute) -> cst.Call:
    return cst.Call(func.with_changes(attr=cst.Name("to")), [cst.Arg(cst.parse_expression("self.device"))])


def _callee(call: ast.expr) -> str:
    return spelled(call) if isinstance(call, ast.Call) else ""


def _cst_callee(call: cst.Call) -> str | None:
    return path_of(call.func)


def path_of(node: cst.CSTNode) -> str | None:
    """``name`` and ``name.attr``, as the analysis names them."""
    match node:
        case cst.Name(value=name):
            return name
        case cst.Attribute(value=cst.Name(value=name), attr=cst.Name(value=attr)):
            return f"{name}.{attr}"
    return None


def _root(node: cst.BaseExpression) -> str | None:
    while isinstance(node, (cst.Attribute, cst.Subscript, cst.Call)):
        node = node.func if isinstance(node, cst.Call) else node.value
    return node.value if isinstance(node, cst.Name) else None


def _bound_in(node: cst.CSTNode) -> frozenset[str]:
    """Names that a comprehension, a lambda or a nested function binds for itself."""
    found: set[str] = set()
    if isinstance(node, (cst.FunctionDef, cst.Lambda)):
        params = node.params
        every = [*params.params, *params.kwonly_params, *params.posonly_params, params.star_arg, params.star_kwarg]
        found |= {p.name.value for p in every if isinstance(p, cst.Param)}
        if isinstance(node, cst.FunctionDef):
            code = cst.Module([node.with_changes(leading_lines=[], decorators=[])]).code
            func = ast.parse(code).body[0]
            assert isinstance(func, ast.FunctionDef)
            from torchlift_convert.names import access, declared_outer

            found |= frozenset[str]().union(*(access(s).binds for s in func.body)) - declared_outer(func)
        return frozenset(found)
    loop = node.for_in  # type: ignore[attr-defined]
    while loop is not None:
        for name in _names_in(loop.target):
            found.add(name)
        loop = loop.inner_for_in
    return frozenset(found)


def _names_in(node: cst.CSTNode) -> list[str]:
    if isinstance(node, cst.Name):
        return [node.value]
    if isinstance(node, (cst.Attribute, cst.Subscript)):
        return []
    return [n for child in node.children for n in _names_in(child)]

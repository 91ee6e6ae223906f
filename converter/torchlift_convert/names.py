"""Which names a piece of code reads and binds, and in what order: the def-use facts under liveness.

Scopes follow the language: names bound by comprehensions and lambdas stay inside them; a nested function reads its free
names; an augmented assignment reads and binds.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torchlift_convert.kept import children, kept, walk

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
EMPTY: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Access:
    """Names read and names bound by a piece of code, whatever the order."""

    reads: frozenset[str] = EMPTY
    binds: frozenset[str] = EMPTY

    def __or__(self, other: Access) -> Access:
        return Access(self.reads | other.reads, self.binds | other.binds)


@dataclass(frozen=True)
class Flow:
    """What a block does to names, in order.

    ``exposed``: read before any certain binding in the block. ``must``: bound on every path that falls out of its end.
    ``may``: bound on some path.
    """

    exposed: frozenset[str] = EMPTY
    must: frozenset[str] = EMPTY
    may: frozenset[str] = EMPTY

    def then(self, after: Flow) -> Flow:
        return Flow(self.exposed | (after.exposed - self.must), self.must | after.must, self.may | after.may)


def parameters(args: ast.arguments) -> list[str]:
    """Every parameter name of a signature, in order."""
    named = [*args.posonlyargs, *args.args, *([args.vararg] if args.vararg else []), *args.kwonlyargs]
    return [a.arg for a in named + ([args.kwarg] if args.kwarg else [])]


@kept
def access(node: ast.AST) -> Access:
    """Names that a statement or expression reads and binds in its own scope."""
    reads: set[str] = set()
    binds: set[str] = set()
    _collect(node, reads, binds, frozenset())
    return Access(frozenset(reads), frozenset(binds))


@kept
def free_names(func: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef) -> Access:
    """Names of outer scopes that a function or class body reads, and those that it binds by ``global``/``nonlocal``."""
    reads: set[str] = set()
    binds: set[str] = set()
    body: Iterable[ast.AST] = [func.body] if isinstance(func, ast.Lambda) else func.body
    for part in body:
        _collect(part, reads, binds, frozenset())
    outer = declared_outer(func)
    own = set() if isinstance(func, ast.ClassDef) else (binds - outer) | set(parameters(func.args))
    return Access(frozenset(reads - own), frozenset(binds & outer))


def computed_by_definition(stmt: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> list[ast.expr]:
    """What defining a function or a class computes: decorators, defaults, bases, values in the body of the class."""
    found: list[ast.expr] = list(stmt.decorator_list)
    if not isinstance(stmt, ast.ClassDef):
        return [*found, *stmt.args.defaults, *(d for d in stmt.args.kw_defaults if d)]
    found += [*stmt.bases, *(k.value for k in stmt.keywords)]
    for part in stmt.body:
        if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found += computed_by_definition(part)
        else:
            found += [n for n in children(part) if isinstance(n, ast.expr)]
    return found


def declared_outer(func: ast.AST) -> frozenset[str]:
    """Names that a function declares ``global`` or ``nonlocal``."""
    found: set[str] = set()
    for node in own_nodes(func):
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            found |= set(node.names)
    return frozenset(found)


@kept
def own_nodes(func: ast.AST) -> tuple[ast.AST, ...]:
    """Nodes of a function body, not those of functions and classes nested in it."""
    body = getattr(func, "body", [])
    stack: list[ast.AST] = list(body) if isinstance(body, list) else [body]
    found: list[ast.AST] = []
    while stack:
        node = stack.pop()
        found.append(node)
        if not isinstance(node, (*_FUNCTIONS, ast.ClassDef, ast.Lambda)):
            stack.extend(children(node))
    return tuple(found)


def _collect(node: ast.AST, reads: set[str], binds: set[str], hidden: frozenset[str]) -> None:
    match node:
        case ast.Name(id=name, ctx=ast.Load()):
            if name not in hidden:
                reads.add(name)
        case ast.Name(id=name):
            if name not in hidden:
                binds.add(name)
        case ast.AugAssign(target=ast.Name(id=name), value=value):
            reads.add(name)
            binds.add(name)
            _collect(value, reads, binds, hidden)
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            binds.add(node.name)
            heads: list[ast.AST] = list(node.decorator_list)
            if isinstance(node, ast.ClassDef):
                heads += [*node.bases, *node.keywords]
            else:
                heads += [*node.args.defaults, *(d for d in node.args.kw_defaults if d)]
            for head in heads:
                _collect(head, reads, binds, hidden)
            free = free_names(node)
            reads |= free.reads - hidden
            binds |= free.binds
        case ast.Lambda():
            for default in [*node.args.defaults, *(d for d in node.args.kw_defaults if d)]:
                _collect(default, reads, binds, hidden)
            reads |= free_names(node).reads - hidden
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            _collect_comprehension(node, reads, binds, hidden)
        case ast.Import() | ast.ImportFrom():
            binds |= {a.asname or a.name.split(".")[0] for a in node.names}
        case ast.ExceptHandler(name=str(name)):
            binds.add(name)
            _children(node, reads, binds, hidden)
        case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            binds.add(name)
            _children(node, reads, binds, hidden)
        case ast.MatchMapping(rest=str(name)):
            binds.add(name)
            _children(node, reads, binds, hidden)
        case _:
            _children(node, reads, binds, hidden)


def _children(node: ast.AST, reads: set[str], binds: set[str], hidden: frozenset[str]) -> None:
    for child in children(node):
        _collect(child, reads, binds, hidden)


def _collect_comprehension(node: ast.AST, reads: set[str], binds: set[str], hidden: frozenset[str]) -> None:
    inner = hidden
    for generator in node.generators:  # type: ignore[attr-defined]
        _collect(generator.iter, reads, binds, inner)
        targets: set[str] = set()
        _collect(generator.target, set(), targets, frozenset())
        inner |= targets
        for condition in generator.ifs:
            _collect(condition, reads, binds, inner)
    parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]  # type: ignore[attr-defined]
    for part in parts:
        _collect(part, reads, binds, inner)


def flow_of(body: Sequence[ast.stmt]) -> Flow:
    """Def-use of a block in program order."""
    result = Flow()
    for stmt in body:
        result = result.then(stmt_flow(stmt))
        if isinstance(stmt, (ast.Return, ast.Raise, ast.Break, ast.Continue)):
            break
    return result


def leaves(body: Sequence[ast.stmt]) -> bool:
    """Does control never fall out of the end of this block?"""
    if not body:
        return False
    match body[-1]:
        case ast.Return() | ast.Raise() | ast.Break() | ast.Continue():
            return True
        case ast.If(body=then, orelse=other):
            return leaves(then) and leaves(other)
        case ast.With(items=items, body=inner):
            return leaves(inner) and not any(_swallows(i.context_expr) for i in items)
    return False


def _expr_flow(*nodes: ast.AST | None) -> Flow:
    got, unsure = Access(), EMPTY
    for node in nodes:
        if node is not None:
            got |= access(node)
            unsure |= _perhaps_bound(node)
    return Flow(got.reads, got.binds - unsure, got.binds)


def _perhaps_bound(tree: ast.AST) -> frozenset[str]:
    """Names bound by ``:=`` where it is not evaluated on every path."""
    parts: list[ast.AST] = []
    for node in walk(tree):
        match node:
            case ast.BoolOp(values=[_, *others]) | ast.Compare(comparators=[_, *others]):
                parts += others
            case ast.IfExp(body=body, orelse=orelse):
                parts += [body, orelse]
            case ast.Assert(msg=ast.expr() as message):
                parts.append(message)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                parts += [n for n in children(node) if n is not node.generators[0]]
                parts += node.generators[0].ifs
    bound = [n.target for part in parts for n in walk(part) if isinstance(n, ast.NamedExpr)]
    return frozenset(t.id for t in bound)


@kept
def stmt_flow(stmt: ast.stmt) -> Flow:
    """Def-use of one statement."""
    match stmt:
        case ast.If(test=test, body=body, orelse=orelse):
            then, other = flow_of(body), flow_of(orelse)
            must = then.must & other.must
            if leaves(body):
                must = other.must
            elif leaves(orelse):
                must = then.must
            return _expr_flow(test).then(Flow(then.exposed | other.exposed, must, then.may | other.may))
        case ast.For() | ast.AsyncFor():
            inner, other = _expr_flow(stmt.target).then(flow_of(stmt.body)), flow_of(stmt.orelse)
            return _expr_flow(stmt.iter).then(_perhaps(inner, other))
        case ast.While(test=test, body=body, orelse=orelse):
            return _expr_flow(test).then(_perhaps(flow_of(body), flow_of(orelse)))
        case ast.With() | ast.AsyncWith():
            items = Flow()
            for one in stmt.items:
                items = items.then(_expr_flow(one.context_expr)).then(_expr_flow(one.optional_vars))
            inside = flow_of(stmt.body)
            return items.then(_perhaps(inside) if any(_swallows(i.context_expr) for i in stmt.items) else inside)
        case ast.Try() | ast.TryStar():
            return _try_flow(stmt)
        case ast.Match(subject=subject, cases=cases):
            arms = [_expr_flow(c.pattern, c.guard).then(flow_of(c.body)) for c in cases]
            return _expr_flow(subject).then(_perhaps(*arms))
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            got = access(stmt)
            return Flow(got.reads, frozenset({stmt.name}), got.binds)  # what its body binds, it binds when called
        case ast.Delete(targets=targets):
            deleted = _expr_flow(*targets)
            return Flow(deleted.exposed | deleted.may, EMPTY, deleted.may)
        case _:
            return _expr_flow(stmt)


def _perhaps(*blocks: Flow) -> Flow:
    """Blocks of which any may run or not, independently of each other."""
    return Flow(EMPTY.union(*(b.exposed for b in blocks)), EMPTY, EMPTY.union(*(b.may for b in blocks)))


def _swallows(manager: ast.expr) -> bool:
    """``contextlib.suppress(...)``: control may come out of the middle of the block."""
    func = manager.func if isinstance(manager, ast.Call) else manager
    return (func.id if isinstance(func, ast.Name) else getattr(func, "attr", "")) in ("suppress", "raises")


def _try_flow(stmt: ast.Try | ast.TryStar) -> Flow:
    body = flow_of(stmt.body)
    other = flow_of(stmt.orelse)
    handlers = [_expr_flow(h.type).then(flow_of(h.body)) for h in stmt.handlers]
    names = frozenset(h.name for h in stmt.handlers if h.name)
    final = flow_of(stmt.finalbody)
    falling = [h.must for h, source in zip(handlers, stmt.handlers, strict=True) if not leaves(source.body)]
    must = body.must | other.must
    for one in falling:
        must &= one
    exposed = body.exposed | (other.exposed - body.must)
    for one_flow, handler in zip(handlers, stmt.handlers, strict=True):
        exposed |= one_flow.exposed - {handler.name}
    may = body.may | other.may | frozenset().union(*(h.may for h in handlers))
    return Flow(exposed | final.exposed, must | final.must, may | final.may | names)

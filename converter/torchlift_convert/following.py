"""Follow a call into its function: parameters stand for arguments, what is returned bears the caller's names."""

from __future__ import annotations

import ast

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.folding import decided, is_learned, learn
from torchlift_convert.kept import walk
from torchlift_convert.names import access, declared_outer, free_names, own_nodes, parameters
from torchlift_convert.program import Bound, Frame, FunctionNode, Hole, Item, dotted, root_name
from torchlift_convert.scopes import globals_bound_in


def _rebound_meanwhile(expr: ast.expr, frame: Frame, func: FunctionNode) -> bool:
    """May the variable that an argument names get another value while the function runs?"""
    var = frame.resolve(expr.id) if isinstance(expr, ast.Name) else None
    if var is None or var.frame is None:
        return False
    if var.owned:
        return frame.owner is not None and var.name in frame.owner.rebound
    if isinstance(var.frame.scope, ast.Module):
        return var.name in globals_bound_in(var.frame.scope)
    return var.name in free_names(func).binds


def _reads_odd(name: str, func: FunctionNode, told: Frame) -> bool:
    """Would a constant in the parameter's place read odd: ``x if True else y``, ``while 1 is None``?

    Not in a condition that is known with the constants of the call: one of its branches goes.
    """
    gone: set[int] = set()
    for node in own_nodes(func):
        if isinstance(node, (ast.If, ast.IfExp)) and decided(node.test, told) is not None:
            gone |= {id(n) for n in walk(node.test)}
        elif isinstance(node, ast.stmt) and is_learned(node, told):
            gone |= {id(n) for n in walk(node)}
    for node in own_nodes(func):
        if id(node) in gone:
            continue
        match node:
            case (
                ast.If(test=test)
                | ast.IfExp(test=test)
                | ast.While(test=test)
                | ast.UnaryOp(op=ast.Not(), operand=test)
            ):
                parts = [test]
            case ast.BoolOp(values=parts):
                pass
            case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot()], comparators=comparators):
                parts = [left, *comparators]
            case _:
                continue
        if any(isinstance(p, ast.Name) and p.id == name and id(p) not in gone for p in parts):
            return True
    return False


def bind_call(
    call: ast.Call, frame: Frame, func: FunctionNode, outer: Frame, undecorated: bool = False
) -> tuple[Frame, list[Item]]:
    """A frame for one call: parameters that are only read stand for simple arguments, the others are bound.

    ``undecorated``: the decorators are known to make no difference here.
    """

    def refuse(why: str) -> Refuse:
        return Refuse("TL104", f"The call of {func.name}() {why}.", call, "Call it with plain arguments, at one place.")

    spec = func.args
    if isinstance(func, ast.AsyncFunctionDef) or any(
        isinstance(n, (ast.Yield, ast.YieldFrom)) for n in own_nodes(func)
    ):
        raise refuse("enters a generator or a coroutine")
    if func.decorator_list and not undecorated:
        raise refuse("enters a decorated function")
    if (
        spec.vararg
        or spec.kwarg
        or any(isinstance(a, ast.Starred) for a in call.args[:-1])
        or any(k.arg is None for k in call.keywords)
    ):
        raise refuse("uses starred arguments")
    names = [a.arg for a in [*spec.posonlyargs, *spec.args]]
    if "." in root_name(call.func):  # the object itself, which every method sees
        names = names[1:]
    args, unpacked = call.args, list[str]()
    if args and isinstance(args[-1], ast.Starred):  # it gives all parameters that nothing else gives
        if call.keywords or spec.defaults:
            raise refuse("uses starred arguments")
        args, unpacked = args[:-1], names[len(args) - 1 :]
    if len(args) > len(names):
        raise refuse("has too many arguments")
    given: dict[str, ast.expr] = dict(zip(names, args, strict=False))
    given |= {k.arg: k.value for k in call.keywords if k.arg}
    defaults = dict(zip(reversed(names), reversed(spec.defaults), strict=False))
    defaults |= {a.arg: d for a, d in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if d is not None}
    inner = Frame(func, outer)
    rebound = frozenset[str]().union(*(access(s).binds for s in func.body))
    written = {n: e for n, e in (defaults | given).items() if isinstance(e, ast.Constant) and n not in rebound}
    told = Frame(func, outer, {n: Bound(e, outer) for n, e in written.items()})
    declared = frozenset(parameters(spec)) | declared_outer(func)
    learn(told, func.body, declared)
    binds: list[Item] = []
    for name in [*(n for n in names if n not in unpacked), *(a.arg for a in spec.kwonlyargs)]:
        source = frame if name in given else outer
        expr = given.get(name, defaults.get(name))
        if expr is None:
            raise refuse(f"gives no '{name}'")
        if name not in given and not is_lasting(expr, outer):
            raise refuse(f"leaves '{name}' to a default value, which is made once, where the function is defined")
        stands = dotted(expr) is not None or (isinstance(expr, ast.Constant) and not _reads_odd(name, func, told))
        if name not in rebound and stands and not _rebound_meanwhile(expr, source, func):
            inner.bound[name] = Bound(expr, source)
            continue
        binds.append(_binding(ast.Name(name, ast.Store()), expr, call, source, inner))
    if unpacked:
        starred = call.args[-1]
        assert isinstance(starred, ast.Starred)
        targets = ast.Tuple([ast.Name(n, ast.Store()) for n in unpacked], ast.Store())
        binds.append(_binding(targets, starred.value, call, frame, inner))
    learn(inner, func.body, declared)
    return inner, binds


def is_lasting(default: ast.expr, outer: Frame) -> bool:
    """Is a default value, which is computed where the function is defined, the same when it is computed at a call?"""
    match default:
        case ast.Constant():
            return True
        case ast.UnaryOp(operand=inner):
            return is_lasting(inner, outer)
        case ast.BinOp(left=left, right=right):
            return is_lasting(left, outer) and is_lasting(right, outer)
        case ast.Tuple(elts=parts):
            return all(is_lasting(p, outer) for p in parts)
        case ast.Name() | ast.Attribute():
            return dotted(default) is not None and _keeps(default, outer)
        case ast.Call(func=func, args=args, keywords=keywords):
            made = (dotted(func) or "").rpartition(".")[2]
            told = all(is_lasting(a, outer) for a in [*args, *(k.value for k in keywords)])
            return told and (made == "device" or made.endswith("Loss")) and _keeps(func, outer)
    return False


def _keeps(name: ast.expr, frame: Frame) -> bool:
    """Does nothing bind the root of a dotted name behind the place where it stands?"""
    var = frame.resolve(root_name(name))
    if var.frame is None:
        return True
    scope = var.frame.scope
    if isinstance(scope, ast.Module) and var.name in globals_bound_in(scope):
        return False
    return not any(var.name in _binds(n) and n.lineno > name.lineno for n in own_nodes(scope))  # type: ignore[attr-defined]


def _binds(node: ast.AST) -> set[str]:
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            return {name}
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
    return set()


def _binding(target: ast.expr, value: ast.expr, call: ast.Call, source: Frame, inner: Frame) -> Item:
    """An assignment to parameters, in place of the call that gives them."""
    assign = ast.Assign([target], value)
    ast.fix_missing_locations(ast.copy_location(assign, call))
    return Item(assign, inner, (Hole("__argument__", value, value, source),), synthetic=True)


def bind_returned(stmt: ast.stmt, call: ast.Call, frame: Frame, inner: Frame, value: ast.expr | None) -> bool:
    """Let what the function returns bear the caller's names: ``accuracy = test()`` over ``return acc``.

    Only where both sides are plain names and the function cannot tell: it takes and reads no such variable.
    """
    if not isinstance(stmt, ast.Assign) or len(stmt.targets) != 1 or stmt.value is not call or value is None:
        return False
    targets = stmt.targets[0].elts if isinstance(stmt.targets[0], ast.Tuple) else [stmt.targets[0]]
    returned = value.elts if isinstance(value, ast.Tuple) else [value]
    pairs = list(zip(targets, returned, strict=False))
    names = [(t.id, r.id) for t, r in pairs if isinstance(t, ast.Name) and isinstance(r, ast.Name)]
    if len(names) != len(targets) or len(targets) != len(returned) or any("." in n for pair in names for n in pair):
        return False
    if len({r for _, r in names}) != len(names) or len({t for t, _ in names}) != len(names):
        return False
    assert not isinstance(inner.scope, ast.Module)
    taken = {frame.resolve(n) for n in access(call).reads}
    for target, name in names:
        var = frame.resolve(target)
        if var in taken or name not in inner.locals or name in inner.bound or name in parameters(inner.scope.args):
            return False
        if target in free_names(inner.scope).reads | free_names(inner.scope).binds:
            return False
    for target, name in names:
        inner.bound[name] = Bound(ast.Name(target, ast.Load()), frame)
    return True


def split_return(func: FunctionNode) -> tuple[list[ast.stmt], ast.expr | None]:
    """The body without its last return, and the value of that return."""
    body, value = func.body, None
    last = body[-1]
    if isinstance(last, ast.Return):
        body, value = body[:-1], last.value
    for node in own_nodes(func):
        if isinstance(node, ast.Return) and node is not last:
            raise Refuse(
                "TL105", f"{func.name}() returns early.", node, "Leave the function at its end only, or raise an error."
            )
    return body, value

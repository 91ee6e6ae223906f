"""What a statement does besides binding names: draw random numbers, write, mutate what it is given.

Two statements commute when neither binds or mutates what the other reads, and they do not both draw or both write.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torchlift_convert.iterating import goes_through_loader, loader_names
from torchlift_convert.kept import walk
from torchlift_convert.knowledge import (
    BUILTINS,
    CHANGING_FILES,
    CLOCKS,
    GROWING_OR_SHRINKING,
    QUIET,
    QUIET_METHODS,
    READING,
    WRITING,
    listed,
)
from torchlift_convert.names import access, computed_by_definition, declared_outer, own_nodes, parameters
from torchlift_convert.program import Frame, FunctionNode, Item, Program, Var, item_flow, reads_of
from torchlift_convert.syntax import nodes_of
from torchlift_convert.unseen import binds_unseen, module_variables


@dataclass(frozen=True)
class Effects:
    """``draws``: may move the global random state. ``writes``: prints or touches files. ``clock``: reads the time.

    ``loads``: reads what is in files; ``stores``: may change that, or be another program.
    """

    draws: bool = False
    writes: bool = False
    clock: bool = False
    unknown: tuple[str, ...] = ()  # the calls that nothing is known about
    loads: bool = False
    stores: bool = False

    def __or__(self, other: Effects) -> Effects:
        return Effects(
            self.draws or other.draws,
            self.writes or other.writes,
            self.clock or other.clock,
            self.unknown + other.unknown,
            self.loads or other.loads,
            self.stores or other.stores,
        )


Target = tuple[FunctionNode, Frame]  # a function, and the frame that it was defined in


@dataclass(eq=False)
class Judge:
    """Answers questions about effects, following calls into the script's own functions and classes."""

    program: Program
    data: frozenset[Var] = frozenset()  # loaders and datasets: taking something from one may draw
    containers: frozenset[Var] = frozenset()  # dictionaries and lists of whatever
    _memo: dict[ast.AST, Effects] = field(default_factory=dict)
    _changing: dict[ast.AST, frozenset[str]] = field(default_factory=dict)
    _known: dict[tuple[str, ast.stmt, Frame], Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.loaders = loader_names(self.program.script.tree)
        self.methods: dict[str, list[ast.FunctionDef]] = {}
        owner = self.program.owner
        followed = owner.instance.classes if owner is not None else ()  # calls of their methods are calls by name
        for cls in [c for c in self.program.module.classes.values() if c not in followed]:
            for part in cls.body:
                if isinstance(part, ast.FunctionDef):
                    self.methods.setdefault(part.name, []).append(part)

    def of(self, node: ast.AST, frame: Frame) -> Effects:
        """Effects of running a statement or an expression."""
        result = Effects()
        for part in nodes_of(node):
            if isinstance(part, ast.Call):
                result |= self.of_call(part, frame)
            if goes_through_loader(part, self.loaders):
                result |= Effects(draws=True)
        return result

    def _once(self, what: str, item: Item, compute: Callable[[Item], Any]) -> Any:
        """The answer about a plain statement is computed once: placing asks for it many times."""
        if item.holes or item.without:
            return compute(item)
        key = (what, item.stmt, item.frame)
        if key not in self._known:
            self._known[key] = compute(item)
        return self._known[key]

    def of_item(self, item: Item) -> Effects:
        """Effects of one statement instance."""
        answer: Effects = self._once("effects", item, self._effects_of)
        return answer

    def _effects_of(self, item: Item) -> Effects:
        result = self.of(item.shape, item.frame) | self._going_through(item)
        for hole in item.holes:
            if hole.value is not None:
                result |= self.of(hole.value, hole.frame)
        return result

    def _going_through(self, item: Item) -> Effects:
        """Does a statement use data for more than its length and attributes, and to make a dataset or loader of it?"""
        if not self.data & self.reads(item):
            return Effects()
        plain: set[int] = set()
        asked = {id(n.value) for n in nodes_of(item.shape) if isinstance(n, ast.Subscript)}
        for node in nodes_of(item.shape):
            if isinstance(node, ast.Attribute):
                plain.add(id(node.value))
            elif isinstance(node, ast.Call) and id(node) not in asked:
                name = self.program.canonical(node.func, item.frame) or ""
                if name == "len" or name.startswith("torch.utils.data."):
                    plain |= {id(a) for a in [*node.args, *(k.value for k in node.keywords)]}
        for node in nodes_of(item.shape):  # an entry of a dictionary of datasets is a dataset, and not a row of one
            if isinstance(node, ast.Subscript) and id(node) in plain and isinstance(node.value, ast.Name):
                if item.frame.resolve(node.value.id) in self.containers:
                    plain.add(id(node.value))
        loads = [n for n in nodes_of(item.shape) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]
        used = {v for n in loads if id(n) not in plain for v in reads_of(item.frame, n.id)} | self.read_through(item)
        return Effects(draws=bool(used & self.data))

    def remembers(self, cls: ast.ClassDef) -> bool:
        """Does an object of the class change after it was made, as a cache does?"""
        methods = [m for m in cls.body if isinstance(m, ast.FunctionDef) and m.name != "__init__" and m.args.args]
        return any(m.args.args[0].arg in _changed_roots(node) for m in methods for node in walk(m))

    def of_call(self, call: ast.Call, frame: Frame) -> Effects:
        name = self.program.canonical(call.func, frame)
        if name is not None:
            return _library(name)
        if isinstance(call.func, ast.Name):
            return self._named(call.func.id, frame)
        if isinstance(call.func, ast.Attribute):
            return self._method(call.func, frame)
        return Effects(draws=True, writes=True, unknown=(ast.unparse(call.func),))

    def _named(self, name: str, frame: Frame) -> Effects:
        target = frame.function(name)
        if target is not None:
            return self._body(target[0], Frame(*target))
        cls = self.program.module.classes.get(name)
        if cls is None or frame.resolve(name).frame is not self.program.module:
            return Effects(draws=True, writes=True, unknown=(name,), stores=True)
        made = [p for p in cls.body if isinstance(p, ast.FunctionDef) and p.name == "__init__"]
        bases = [self.program.canonical(b, frame) or "?" for b in cls.bases]
        known = all(b in ("object", "torch.utils.data.Dataset", "torch.utils.data.dataset.Dataset") for b in bases)
        result = Effects() if known else Effects(draws=True, unknown=(name,))
        for init in made:
            result |= self._body(init, Frame(init, self.program.module))
        return result

    def _method(self, func: ast.Attribute, frame: Frame) -> Effects:
        own = self.methods.get(func.attr)
        if own:
            result = Effects()
            for method in own:
                result |= self._body(method, Frame(method, self.program.module))
            return result
        if func.attr in QUIET_METHODS:
            return Effects()
        if func.attr in ("write", "flush", "close", "writerow", "add_scalar", "info", "savefig"):
            return Effects(writes=True)
        return Effects(draws=True, writes=True, unknown=("." + func.attr,))

    def _body(self, func: ast.FunctionDef | ast.AsyncFunctionDef, frame: Frame) -> Effects:
        if func not in self._memo:
            self._memo[func] = Effects()  # a recursive call adds nothing
            result = Effects()
            for node in own_nodes(func):
                if isinstance(node, ast.Call):
                    result |= self.of_call(node, frame)
                if goes_through_loader(node, self.loaders):
                    result |= Effects(draws=True)
            self._memo[func] = result
        return self._memo[func]

    # -- what is read and changed ----------

    def reads(self, item: Item) -> frozenset[Var]:
        """Variables that a statement reads, those read by the script's functions that it calls included."""
        answer: frozenset[Var] = self._once("reads", item, self._reads_of)
        return answer

    def _reads_of(self, item: Item) -> frozenset[Var]:
        if isinstance(item.stmt, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            return self._read_by_definition(item)
        plain = access(item.shape).reads - {h.placeholder for h in item.holes}
        found = {v for n in plain for v in reads_of(item.frame, n)}
        found |= item_flow(item).exposed
        return frozenset(found | self.read_through(item))

    def _read_by_definition(self, item: Item) -> frozenset[Var]:
        """What defining a function or class reads: not what its body reads when it is called."""
        heads = computed_by_definition(item.stmt)  # type: ignore[arg-type]
        return frozenset(v for h in heads for n in access(h).reads for v in reads_of(item.frame, n))

    def read_through(self, item: Item) -> set[Var]:
        """Variables read by the script's functions that a statement calls."""
        found: set[Var] = set()
        for func, inner in self.reached(item, self._named_function):
            for node in own_nodes(func):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in inner.locals:
                    found.add(inner.resolve(node.id))
        return found

    def reached(
        self, item: Item, called: Callable[[ast.Call, Frame], list[Target]]
    ) -> Iterator[tuple[FunctionNode, Frame]]:
        """The script's functions that a statement calls, and those that they call, each with a frame of its own."""
        seen: set[ast.AST] = set()
        stack = [(n, item.frame) for n in nodes_of(item.shape) if isinstance(n, ast.Call)]
        while stack:
            call, frame = stack.pop()
            for func, outer in called(call, frame):
                if func not in seen:
                    seen.add(func)
                    inner = Frame(func, outer)
                    yield func, inner
                    stack += [(n, inner) for n in own_nodes(func) if isinstance(n, ast.Call)]

    def _named_function(self, call: ast.Call, frame: Frame) -> list[Target]:
        """The function that a call runs; those that make the script's object where it is made."""
        owner = self.program.owner
        if owner is not None and call is owner.instance.made:
            return [(m, self.program.module) for m in owner.instance.scopes if m.name == "__init__"]
        target = frame.function(call.func.id) if isinstance(call.func, ast.Name) else None
        return [target] if target is not None else []

    def bound_through(self, item: Item) -> set[Var]:
        """Attributes of the script's object that the functions which a statement calls may bind."""
        if self.program.owner is None:
            return set()
        stores = [
            (n.id, inner)
            for func, inner in self.reached(item, self.called)
            for n in own_nodes(func)
            if isinstance(n, ast.Name) and "." in n.id and not isinstance(n.ctx, ast.Load)
        ]
        return {inner.resolve(name) for name, inner in stores}

    def changes(self, item: Item) -> frozenset[Var]:
        """Variables that a statement binds, or whose objects it may change."""
        answer: frozenset[Var] = self._once("changes", item, self._changes_of)
        return answer

    def _changes_of(self, item: Item) -> frozenset[Var]:
        found = set(item_flow(item).may)
        for node in nodes_of(item.shape):
            for name in self._changed(node, item.frame):
                found |= reads_of(item.frame, name)
            if binds_unseen(node, item.frame, self.program):
                found |= module_variables(self.program)
        return frozenset(found | self._changed_through(item))

    def _changed_through(self, item: Item) -> set[Var]:
        """What the script's functions that a statement calls bind or change outside of themselves."""
        found: set[Var] = self.bound_through(item)
        for func, inner in self.reached(item, self.called):
            bound = frozenset[str]().union(*(access(s).binds for s in func.body)) & declared_outer(func)
            changed = self._changed_by(func, inner.outer or self.program.module)
            found |= {inner.resolve(n) for n in changed | bound if n not in inner.locals}
        return found

    def called(self, call: ast.Call, frame: Frame) -> list[Target]:
        """The script's functions, or methods of that name, that a call may run."""
        if isinstance(call.func, ast.Attribute):
            return [(m, self.program.module) for m in self.methods.get(call.func.attr, ())]
        return self._named_function(call, frame)

    def _changed(self, node: ast.AST, frame: Frame) -> list[str]:
        """Names whose objects a node may change. A bare call is there for what it changes, another for its value."""
        match node:
            case ast.Expr(value=ast.Call(func=func) as call):
                if _only_reads(self.program.canonical(func, frame)):
                    return []
                known = self._changed_by_call(call, frame)
                owner = [r] if isinstance(func, ast.Attribute) and (r := root_of(func.value)) else []
                return _changed_roots(node) if known is None else [*owner, *known]
            case ast.Call():
                return self._changed_by_call(node, frame) or []
        return _changed_roots(node)

    def _changed_by_call(self, call: ast.Call, frame: Frame) -> list[str] | None:
        """Names whose objects a call may change; None when nothing is known about what it calls."""
        if call.keywords or any(isinstance(a, ast.Starred) for a in call.args):
            return None
        match call.func:
            case ast.Name(id=name):
                target = frame.function(name)
                return None if target is None else self._changed_arguments([target], call.args)
            case ast.Attribute(value=owner, attr=attr) if attr in self.methods:
                if any(own.decorator_list for own in self.methods[attr]):
                    return None
                methods = [(own, self.program.module) for own in self.methods[attr]]
                return self._changed_arguments(methods, [owner, *call.args])
            case ast.Attribute(value=owner, attr=attr) if self.program.canonical(call.func, frame) is None:
                if attr.endswith("_") or attr in GROWING_OR_SHRINKING:  # torch's methods in place
                    return [r for r in [root_of(owner)] if r]
                return [] if attr in QUIET_METHODS else None
        return None

    def _changed_arguments(self, functions: Sequence[tuple[FunctionNode, Frame]], given: list[ast.expr]) -> list[str]:
        """Of what functions of the script are given, the names of what their bodies may change."""
        found: dict[str, None] = {}
        for function, outer in functions:
            changed = self._changed_by(function, outer)
            names = [a.arg for a in [*function.args.posonlyargs, *function.args.args]]
            found |= {r: None for n, a in zip(names, given, strict=False) if n in changed and (r := root_of(a))}
        return list(found)

    def _changed_by(self, func: FunctionNode, outer: Frame) -> frozenset[str]:
        """Names inside a function whose objects its body may change."""
        if func not in self._changing:
            self._changing[func] = frozenset(parameters(func.args))  # a recursive call may change all of them
            inner = Frame(func, outer)
            self._changing[func] = frozenset(r for n in own_nodes(func) for r in self._changed(n, inner))
        return self._changing[func]

    def commute(self, one: Item, other: Item) -> bool:
        """May two neighbouring statements change places?"""
        a, b = self.of_item(one), self.of_item(other)
        if (a.draws and b.draws) or (a.writes and b.writes) or (a.clock and b.clock):
            return False
        if (a.loads and b.stores) or (a.stores and b.loads):
            return False
        change_a, change_b = self.changes(one), self.changes(other)
        return not (change_a & (self.reads(other) | change_b) or change_b & self.reads(one))


def _library(name: str) -> Effects:
    effects = _of_known(name)
    loads, stores = listed(name, READING), listed(name, CHANGING_FILES)
    return replace(effects, loads=loads, stores=stores) if loads or stores else effects


def _of_known(name: str) -> Effects:
    if listed(name, CLOCKS):
        return Effects(clock=True)
    if name in BUILTINS or listed(name, QUIET):
        return Effects()
    if name.startswith("torch.nn.") and (name.endswith("Loss") or name.startswith("torch.nn.utils.clip")):
        return Effects()
    if name.startswith("torch.nn.functional.") and "dropout" not in name and "gumbel" not in name:
        return Effects()
    if listed(name, WRITING):
        return Effects(writes=True)
    return Effects(draws=True, unknown=(name,))


def _only_reads(name: str | None) -> bool:
    """A library call that changes nothing that it is given."""
    return name is not None and (name == "print" or name.endswith(("seed", "seed_all")) or listed(name, WRITING))


def _changed_roots(node: ast.AST) -> list[str]:
    """Names whose objects a node may change: stores into them, and bare calls on or with them."""
    match node:
        case ast.Expr(value=ast.Call(func=func, args=args, keywords=keywords)):
            parts = [func.value] if isinstance(func, ast.Attribute) else []
            given = [a for a in [*args, *(k.value for k in keywords)] if isinstance(a, ast.Name)]
            return [r for p in [*parts, *given] if (r := root_of(p))]
        case (
            ast.Attribute(value=value, ctx=ast.Store() | ast.Del())
            | ast.Subscript(value=value, ctx=ast.Store() | ast.Del())
        ):
            root = root_of(value)
            return [root] if root else []
    return []


def root_of(expr: ast.expr) -> str | None:
    """The name at the front of a chain of attributes, subscripts and calls."""
    while isinstance(expr, (ast.Attribute, ast.Subscript, ast.Call)):
        expr = expr.func if isinstance(expr, ast.Call) else expr.value
    return expr.id if isinstance(expr, ast.Name) else None

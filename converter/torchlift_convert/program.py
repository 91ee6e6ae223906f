"""Scopes, variables and statement instances of a script.

A ``Frame`` is one activation of a scope: the module, or one call of a function that is followed into its body. A name
resolves to a ``Var``; a parameter that only stands for the caller's variable resolves to the caller's, so that
``train(model, loader)`` and ``def train(net, data)`` speak of the same two variables.
"""

from __future__ import annotations

import ast
import builtins
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from torchlift_convert.filling import fill
from torchlift_convert.instances import Instance, Untold, fold
from torchlift_convert.kept import children, walk
from torchlift_convert.methods import unbind
from torchlift_convert.names import access, parameters, stmt_flow
from torchlift_convert.scopes import contents_of
from torchlift_convert.syntax import Script

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, eq=False)
class Bound:
    """A parameter that stands for an expression of the caller."""

    expr: ast.expr
    frame: Frame


_SERIALS = itertools.count()


@dataclass(eq=False)
class Frame:
    """One activation of a scope. ``outer`` is the lexically enclosing frame, ``scope`` its syntax."""

    scope: ast.Module | FunctionNode
    outer: Frame | None = None
    bound: dict[str, Bound] = field(default_factory=dict)
    owner: Owner | None = None  # of the module: the object whose attributes are variables
    serial: int = field(default_factory=_SERIALS.__next__, init=False)  # frames in the order in which they were entered

    def __post_init__(self) -> None:
        self.functions, self.classes, self.locals = contents_of(self.scope)
        if self.outer is not None:
            self.owner = self.outer.owner

    @property
    def name(self) -> str:
        return "" if isinstance(self.scope, ast.Module) else self.scope.name

    @property
    def base(self) -> Frame:
        """The activation whose variables these are: of a round of a loop, the one around it."""
        return self

    @property
    def defined_in(self) -> Frame:
        """The frame that its functions see around them."""
        return self

    @property
    def is_module(self) -> bool:
        return isinstance(self.scope, ast.Module)

    def resolve(self, name: str) -> Var:
        """The variable that a name means here; frame None: a builtin."""
        if "." in name:
            assert self.owner is not None
            return Var(self.owner, name.partition(".")[2])
        frame: Frame | None = self
        while frame is not None:
            if name in frame.locals:
                bound = frame.bound.get(name)
                if bound is not None and isinstance(bound.expr, ast.Name):
                    return bound.frame.resolve(bound.expr.id)
                return Var(frame, name)
            frame = frame.outer
        return Var(None, name)

    def alias(self, name: str) -> Bound | None:
        """The caller's expression that a parameter stands for, when that is not a plain name."""
        var = self.resolve(name)
        return var.frame.bound.get(var.name) if var.frame is not None else None

    def function(self, name: str) -> tuple[FunctionNode, Frame] | None:
        """The script's function that a name means here, with the frame that it was defined in."""
        var = self.resolve(name)
        if var.frame is None or var.name not in var.frame.functions:
            return None
        return var.frame.functions[var.name], var.frame.defined_in

    def is_object(self, name: str) -> bool:
        """Does a plain name mean the object whose attributes are variables?"""
        var = self.resolve(name) if self.owner is not None else None
        if var is None or var.frame is None or self.owner is None:
            return False
        return self.owner.instance.is_root(var.name, var.frame.scope)


@dataclass(eq=False)
class Round(Frame):
    """One round of a loop over values written in the code: its target stands for the value, all else is as around."""

    def __post_init__(self) -> None:
        self.functions = {}
        self.classes = {}
        self.locals = frozenset(self.bound)
        self.owner = self.outer.owner if self.outer is not None else None

    @property
    def base(self) -> Frame:
        assert self.outer is not None
        return self.outer.base


@dataclass(eq=False)
class Owner(Frame):
    """The object whose methods train; its attributes are variables of this frame, its methods functions."""

    instance: Instance = field(kw_only=True)

    def __post_init__(self) -> None:
        self.functions = dict(self.instance.methods)
        self.classes = {}
        self.locals = frozenset()

    @property
    def name(self) -> str:
        return self.instance.classes[0].name

    @property
    def defined_in(self) -> Frame:
        assert self.outer is not None
        return self.outer

    @cached_property
    def rebound(self) -> frozenset[str]:
        """Attributes that something besides ``__init__`` gives a value."""
        inits = [m for m in self.instance.scopes if m.name == "__init__"]
        first = {id(n) for m in inits for n in walk(m)}
        stores = [n for n in walk(self.defined_in.scope) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)]
        return frozenset(n.id.partition(".")[2] for n in stores if "." in n.id and id(n) not in first)

    def spelled(self, name: str, scope: ast.Module | FunctionNode) -> str:
        """An attribute as a scope spells it."""
        return f"{'self' if scope in self.instance.scopes else self.instance.holder}.{name}"


@dataclass(frozen=True)
class Var:
    """One variable of the script: a frame and a name in it."""

    frame: Frame | None
    name: str

    @property
    def order(self) -> tuple[str, int]:
        """What to sort by: names, and frames as they were entered."""
        return self.name, self.frame.serial if self.frame is not None else -1

    @property
    def owned(self) -> bool:
        """Is it an attribute of the object whose methods train?"""
        return isinstance(self.frame, Owner)

    def said(self, scope: ast.Module | FunctionNode) -> str:
        """The variable as a scope that sees it calls it."""
        return self.frame.spelled(self.name, scope) if isinstance(self.frame, Owner) else self.name

    def __repr__(self) -> str:
        return f"{self.frame.name if self.frame else 'builtins'}:{self.name}"


@dataclass(frozen=True, eq=False)
class Hole:
    """A call that was followed into its function: in its place stands what the function returns."""

    placeholder: str
    call: ast.expr
    value: ast.expr | None
    frame: Frame


@dataclass(frozen=True, eq=False)
class Item:
    """One statement instance: a statement, the frame that it runs in, and the calls in it that were followed."""

    stmt: ast.stmt
    frame: Frame
    holes: tuple[Hole, ...] = ()
    synthetic: bool = False  # binds a parameter; not in the source
    without: tuple[ast.stmt, ...] = ()  # statements inside it that are not carried over

    @cached_property
    def shape(self) -> ast.stmt:
        """The statement with placeholders where calls were followed, and without what is not carried over."""
        if not self.holes and not self.without:
            return self.stmt
        return fill(self.stmt, {h.call: h.placeholder for h in self.holes}, self.without)


@dataclass(frozen=True)
class VarFlow:
    """Def-use over variables (see names.Flow)."""

    exposed: frozenset[Var] = frozenset()
    must: frozenset[Var] = frozenset()
    may: frozenset[Var] = frozenset()

    def then(self, after: VarFlow) -> VarFlow:
        return VarFlow(self.exposed | (after.exposed - self.must), self.must | after.must, self.may | after.may)


def item_flow(item: Item) -> VarFlow:
    """What one statement instance does to variables."""
    flow = stmt_flow(item.shape)
    holes = {h.placeholder for h in item.holes}
    exposed: set[Var] = set()
    for hole in item.holes:
        if hole.value is not None:
            exposed |= {v for n in access(hole.value).reads for v in reads_of(hole.frame, n)}
    exposed |= {v for n in flow.exposed - holes for v in reads_of(item.frame, n)}
    bind = item.frame.resolve
    return VarFlow(frozenset(exposed), frozenset(map(bind, flow.must)), frozenset(map(bind, flow.may)))


def reads_of(frame: Frame, name: str) -> set[Var]:
    """The variables read when a name is read: itself, or those of the expression that it stands for."""
    bound = frame.alias(name)
    if bound is None:
        return {frame.resolve(name)}
    return {v for n in access(bound.expr).reads for v in reads_of(bound.frame, n)}


def flow_over(items: list[Item]) -> VarFlow:
    """Def-use over a sequence of statement instances."""
    result = VarFlow()
    for item in items:
        result = result.then(item_flow(item))
    return result


@dataclass(frozen=True, eq=False)
class Program:
    """A script with its scopes and imports."""

    script: Script
    module: Frame
    imports: dict[str, str]  # local name -> dotted name of what was imported
    untold: Untold | None = None  # why the attributes of a class whose methods train are no variables

    @property
    def owner(self) -> Owner | None:
        return self.module.owner

    @cached_property
    def bound_names(self) -> dict[FunctionNode, str]:
        """What calls of a model's methods say."""
        return {method: name for name, method in self.module.functions.items() if ":" in name}

    def model_class(self, var: Var) -> str | None:
        """The class of a model whose own method calls it ``self``, or what it calls it."""
        scope = var.frame.scope if var.frame is not None else None
        if scope not in self.bound_names:
            return None
        assert isinstance(scope, ast.FunctionDef)
        first = [*scope.args.posonlyargs, *scope.args.args][0]
        return self.bound_names[scope].partition(":")[0] if first.arg == var.name else None

    def called_by(self, scope: FunctionNode) -> set[str]:
        """What calls of a function say: its name; for a method of an object that is known, the path to it."""
        if scope in self.bound_names:
            return {self.bound_names[scope]}
        if self.owner is not None and scope in self.owner.instance.scopes:
            assert isinstance(scope, ast.FunctionDef)
            return self.owner.instance.names_of(scope)
        return {scope.name}

    @cached_property
    def frames(self) -> dict[ast.Module | FunctionNode, Frame]:
        """One frame for each scope, in which its code is read when no call of it is followed."""
        return {frame.scope: frame for frame in _frames(self.module)}

    def canonical(self, expr: ast.expr, frame: Frame) -> str | None:
        """The dotted library name that an expression means, as 'torch.optim.Adam'; None when it is not one."""
        text = dotted(expr)
        if text is None:
            return None
        if "." in root_name(expr):
            return None  # an attribute of the script's own object
        root, _, rest = text.partition(".")
        var = frame.resolve(root)
        if var.frame is None:
            return text if hasattr(builtins, root) else None
        if var.name not in self.imports or not _only_imported(var):
            return None
        return self.imports[var.name] + ("." + rest if rest else "")

    def is_linked(self, var: Var) -> bool:
        """Is it a variable of another file, which that file makes?"""
        if self.script.links is None or var.frame is not self.module:
            return False
        binds = [s for s in self.module.scope.body if var.name in access(s).binds]
        return bool(binds) and all(self.script.is_linked(s) for s in binds)


def _frames(frame: Frame) -> Iterator[Frame]:
    """A frame and one for each function, method and lambda-free scope inside it."""
    yield frame
    stack: list[ast.AST] = list(frame.scope.body)
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _frames(Frame(node, frame))
        elif not isinstance(node, ast.Lambda):
            stack.extend(children(node))


def _only_imported(var: Var) -> bool:
    assert var.frame is not None
    scope = var.frame.scope
    if not isinstance(scope, ast.Module) and var.name in parameters(scope.args):
        return False  # a parameter of that name
    return not any(
        var.name in access(s).binds and not isinstance(s, (ast.Import, ast.ImportFrom, ast.Try, ast.If))
        for s in var.frame.scope.body
    )


def dotted(expr: ast.expr) -> str | None:
    """'a.b.c' of a chain of attributes on a name, else None."""
    parts: list[str] = []
    while isinstance(expr, ast.Attribute):
        parts.append(expr.attr)
        expr = expr.value
    if not isinstance(expr, ast.Name):
        return None
    return ".".join([expr.id, *reversed(parts)])


def root_name(expr: ast.expr) -> str:
    """The name that a chain of attributes starts with."""
    while isinstance(expr, ast.Attribute):
        expr = expr.value
    return expr.id if isinstance(expr, ast.Name) else ""


def build(script: Script) -> Program:
    """Read the scopes and imports of a script."""
    unbind(script.tree)
    instance = fold(script.tree)
    imports: dict[str, str] = {}
    for stmt in script.statements:
        if isinstance(stmt, ast.Import):
            for a in stmt.names:
                imports[a.asname or a.name.split(".")[0]] = a.name if a.asname else a.name.split(".")[0]
        elif isinstance(stmt, ast.ImportFrom):
            for a in stmt.names:
                imports[a.asname or a.name] = f"{'.' * stmt.level}{stmt.module or ''}.{a.name}"
    if script.links is not None:  # whatever it is called, it is no library
        imports |= {n: f".{imports[n].lstrip('.')}" for n in script.links.local & set(imports)}
    module = Frame(script.tree)
    if isinstance(instance, Instance):
        module.owner = Owner(instance.classes[0], module, instance=instance)  # type: ignore[arg-type]
    return Program(script, module, imports, instance if isinstance(instance, Untold) else None)

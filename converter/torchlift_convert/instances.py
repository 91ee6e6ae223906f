"""The one object of the script whose methods train, and its attributes as variables.

``self.model`` in a method, and ``trainer.model`` where the object is made, name one variable. For the analysis each
such path becomes a name with a dot in it (``ast.Name("self.model")``), which the def-use facts, the roles and the
effects then see as they see any name. That is sound when nothing else can reach the attributes: there is one object,
the script hands it to nobody, and reading or setting an attribute runs no code. Otherwise the paths stay as they are,
and the reason is kept for the refusal.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from torchlift_convert.kept import forget
from torchlift_convert.names import declared_outer, own_nodes, parameters
from torchlift_convert.syntax import is_backward

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
_PLAIN_BASES = ("object", "ABC", "abc.ABC")
_MAGIC = frozenset(
    """
    __getattr__ __getattribute__ __setattr__ __delattr__ __slots__ __dict__ __class__ __new__ __del__ __init_subclass__
    __set_name__ __enter__ __exit__ __reduce__ __getstate__ __setstate__
    """.split()
)
# Decorators under which a method is what its body says.
_TRANSPARENT = ("torch.no_grad()", "torch.inference_mode()", "abstractmethod", "abc.abstractmethod", "override")


@dataclass(frozen=True, eq=False)
class Instance:
    """One object: ``holder`` names it in the scope ``where``, ``self`` in its methods.

    ``classes``: its class and the bases of that in the script, nearest first. ``methods``: what a call of each name
    runs. ``made``: the call that makes it.
    """

    classes: tuple[ast.ClassDef, ...]
    methods: dict[str, ast.FunctionDef]
    made: ast.Call
    holder: str
    where: ast.Module | FunctionNode

    @property
    def scopes(self) -> tuple[ast.FunctionDef, ...]:
        """Every method of the classes, those that another one overrides included."""
        return tuple(m for c in self.classes for m in c.body if isinstance(m, ast.FunctionDef))

    def names_of(self, method: ast.FunctionDef) -> set[str]:
        """The paths that a call of the method takes; none of one that another overrides."""
        reached = self.methods[method.name] is method
        return {f"{root}.{method.name}" for root in ("self", self.holder)} if reached else set()

    def is_root(self, name: str, scope: ast.AST) -> bool:
        """Does a name bound in this scope mean the object?"""
        return (name == "self" and scope in self.scopes) or (name == self.holder and scope is self.where)


class _Open(Exception):
    """Something else may reach the attributes."""

    def __init__(self, why: str, node: ast.stmt | ast.expr) -> None:
        super().__init__(why)
        self.why, self.node = why, node


@dataclass(frozen=True)
class Untold:
    """Why the attributes of a class whose methods train are not known as variables, and the place that shows it."""

    why: str
    node: ast.stmt | ast.expr


def fold(tree: ast.Module) -> Instance | Untold | None:
    """Turn the attribute paths of the object whose methods train into names; None when no method of a class trains."""
    classes = {s.name: s for s in tree.body if isinstance(s, ast.ClassDef)}
    trains = {c.name for c in classes.values() if any(is_backward(n) for n in ast.walk(c))}
    if not trains:
        return None
    try:
        instance, paths = _closed(tree, classes, trains)
    except _Open as reason:
        return Untold(reason.why, reason.node)
    forget(_Folder(paths).visit(tree))
    return instance


class _Folder(ast.NodeTransformer):
    """Puts a name in the place of each path."""

    def __init__(self, paths: dict[ast.Attribute, str]) -> None:
        self.paths = paths

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        path = self.paths.get(node)
        if path is None:
            return self.generic_visit(node)
        return ast.copy_location(ast.Name(path, node.ctx), node)


def _closed(
    tree: ast.Module, classes: dict[str, ast.ClassDef], trains: set[str]
) -> tuple[Instance, dict[ast.Attribute, str]]:
    """The object, and the paths to its attributes; _Open when something else may reach them."""
    families = {name: _family(cls, classes) for name, cls in classes.items()}
    made = [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.Call)
        and isinstance(n.func, ast.Name)
        and any(c.name in trains for c in families.get(n.func.id, ()))
    ]
    first = next(c for c in classes.values() if c.name in trains)
    if not made:
        raise _Open(f"no object of the class '{first.name}' is made in this file", first)
    if len(made) > 1:
        raise _Open(f"objects of the class '{ast.unparse(made[1].func)}' are made in several places", made[1])
    family = families[ast.unparse(made[0].func)]
    for cls in family:
        _check_class(cls, classes)
    holder, where, stmt = _holder(tree, made[0])
    instance = Instance(family, _methods(family), made[0], holder, where)
    _check_mentions(tree, instance)
    paths = dict(_paths_of_self(instance))
    paths |= dict(_paths_of_holder(tree, instance, stmt))
    for node, path in paths.items():
        attr = path.partition(".")[2]
        if not isinstance(node.ctx, ast.Load) and attr in instance.methods:
            raise _Open(f"the method '{attr}' is given another value", node)
        if attr in _MAGIC:
            raise _Open(f"'{path}' reaches every attribute", node)
    return instance, paths


def _family(cls: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> tuple[ast.ClassDef, ...]:
    """A class and its bases in the script, nearest first."""
    found: list[ast.ClassDef] = []
    current: ast.ClassDef | None = cls
    while current is not None and current not in found:
        found.append(current)
        own = [classes[b.id] for b in current.bases if isinstance(b, ast.Name) and b.id in classes]
        current = own[0] if own else None
    return tuple(found)


def _methods(family: tuple[ast.ClassDef, ...]) -> dict[str, ast.FunctionDef]:
    found: dict[str, ast.FunctionDef] = {}
    for cls in reversed(family):
        found |= {m.name: m for m in cls.body if isinstance(m, ast.FunctionDef)}
    return found


def _check_class(cls: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> None:
    """Reading or setting an attribute of an object of the class must run no code."""
    if cls.decorator_list or cls.keywords:
        raise _Open(f"the class '{cls.name}' is made by more than its statements", cls)
    own = [b for b in cls.bases if isinstance(b, ast.Name) and b.id in classes]
    strange = [b for b in cls.bases if b not in own and ast.unparse(b) not in _PLAIN_BASES]
    if strange or len(own) > 1:
        name = ast.unparse((strange or own)[-1])
        raise _Open(f"the class '{cls.name}' inherits from '{name}', whose attributes are not in sight", cls)
    seen: set[str] = set()
    for part in cls.body:
        if isinstance(part, (ast.AsyncFunctionDef, ast.ClassDef)):
            raise _Open(f"'{part.name}' is no plain method", part)
        if not isinstance(part, ast.FunctionDef):
            continue
        if part.name in seen or part.name in _MAGIC:
            raise _Open(f"the class '{cls.name}' defines '{part.name}'" + (" twice" if part.name in seen else ""), part)
        seen.add(part.name)
        if any(ast.unparse(d) not in _TRANSPARENT for d in part.decorator_list):
            raise _Open(f"the method '{part.name}' is decorated", part)
        if [a.arg for a in [*part.args.posonlyargs, *part.args.args]][:1] != ["self"]:
            raise _Open(f"the method '{part.name}' does not take 'self' first", part)


def _holder(tree: ast.Module, made: ast.Call) -> tuple[str, ast.Module | FunctionNode, ast.Assign]:
    """The name that the object is kept under, and the scope of that name."""
    for scope in [tree, *(n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)))]:
        for node in own_nodes(scope):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if value is made:
                    if name in declared_outer(scope):
                        raise _Open(f"'{name}' belongs to another scope", node)
                    return name, scope, node
    raise _Open(f"the object that '{ast.unparse(made.func)}(...)' makes is not kept under a name", made)


def _check_mentions(tree: ast.Module, instance: Instance) -> None:
    """The classes serve to make the one object and for nothing else: nobody changes them or makes another."""
    names = {c.name for c in instance.classes}
    fine = {id(instance.made.func)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            fine |= {id(b) for b in node.bases if node in instance.classes}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super":
            fine |= {id(a) for a in node.args}
        elif isinstance(node, ast.arg) and node.annotation is not None:
            fine |= {id(n) for n in ast.walk(node.annotation)}
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.returns is not None:
            fine |= {id(n) for n in ast.walk(node.returns)}
        elif isinstance(node, ast.AnnAssign):
            fine |= {id(n) for n in ast.walk(node.annotation)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in names and id(node) not in fine:
            raise _Open(f"the class '{node.id}' is used for more than to make one object", node)


def _paths_of_self(instance: Instance) -> Iterator[tuple[ast.Attribute, str]]:
    for method in instance.scopes:
        yield from _paths(method, method.body, "self", f"{method.name}() ")


def _paths_of_holder(tree: ast.Module, instance: Instance, stmt: ast.Assign) -> Iterator[tuple[ast.Attribute, str]]:
    """Paths in the scope of the holder and in the functions that see it."""
    name, body = instance.holder, instance.where.body
    stored = [n for s in body for n in ast.walk(s) if _binds(n, name) and not _inside_other(n, name, instance.where)]
    if len(stored) != 1:
        raise _Open(f"'{name}' is given several values", stmt)
    yield from _paths(instance.where, body, name, "the script ")
    if any(name in _globals(s) for s in ast.walk(tree) if s is not instance.where):
        raise _Open(f"'{name}' is given another value in a function", stmt)


def _globals(node: ast.AST) -> list[str]:
    return node.names if isinstance(node, (ast.Global, ast.Nonlocal)) else []


def _binds(node: ast.AST, name: str) -> bool:
    match node:
        case ast.Name(id=held, ctx=ast.Store() | ast.Del()):
            return held == name
        case ast.FunctionDef(name=held) | ast.ClassDef(name=held) | ast.ExceptHandler(name=held):
            return held == name
        case ast.alias():
            return (node.asname or node.name) == name
    return False


def _inside_other(node: ast.AST, name: str, where: ast.AST) -> bool:
    """Is the node in a function nested in the scope that has a variable of that name for itself?"""
    return any(
        node in set(ast.walk(n)) and name in _own_names(n)
        for n in ast.walk(where)
        if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)) and n is not where
    )


def _own_names(scope: ast.AST) -> set[str]:
    if isinstance(scope, ast.Lambda):
        return set(parameters(scope.args))
    bound = {n.id for n in own_nodes(scope) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    bound -= declared_outer(scope)
    return bound if isinstance(scope, ast.ClassDef) else bound | set(parameters(scope.args))  # type: ignore[attr-defined]


def _paths(scope: ast.AST, body: list[ast.stmt], name: str, who: str) -> Iterator[tuple[ast.Attribute, str]]:
    """Each ``name.attr`` of a scope and the scopes in it; _Open where the name stands alone."""
    stack: list[tuple[ast.AST, ast.AST | None]] = [(s, None) for s in body]
    while stack:
        node, around = stack.pop()
        if isinstance(node, ast.Name) and node.id == name:
            if isinstance(around, ast.Attribute):
                yield around, f"{name}.{around.attr}"
            elif isinstance(node.ctx, ast.Load) or name == "self":
                if not (isinstance(around, ast.Call) and ast.unparse(around.func) == "super"):
                    raise _Open(f"{who}hands '{name}' itself on, and other code may reach its attributes", node)
            continue
        inner = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef))
        if inner and name in _own_names(node):
            if name == "self":
                raise _Open(f"{who}defines something with a 'self' of its own", node)  # type: ignore[arg-type]
            heads = [] if isinstance(node, ast.Lambda) else list(node.decorator_list)  # type: ignore[attr-defined]
            args = getattr(node, "args", None)
            heads += [*args.defaults, *(d for d in args.kw_defaults if d)] if args is not None else []
            stack += [(h, node) for h in heads]
            continue
        stack += [(child, node) for child in ast.iter_child_nodes(node)]

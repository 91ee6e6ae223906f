"""What kind of value an expression has: a hyperparameter, an object, a number that may be logged."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from torchlift_convert.kept import walk
from torchlift_convert.loops import is_range
from torchlift_convert.names import access
from torchlift_convert.program import Frame, Program, Var, dotted
from torchlift_convert.roles import Roles

_NUMERIC_CALLS = frozenset(["int", "float", "len", "round", "abs", "max", "min", "sum", "bool"])
_SCALAR_CALLS = _NUMERIC_CALLS | {"str", "os.path.join"}


def _destinations(flags: list[ast.expr], keywords: list[ast.keyword]) -> list[str]:
    """The attributes that an argparse option may be stored in."""
    texts = [f.value for f in flags if isinstance(f, ast.Constant) and isinstance(f.value, str)]
    named = [k.value.value for k in keywords if k.arg == "dest" and isinstance(k.value, ast.Constant)]
    return [*map(str, named), *(t.lstrip("-").replace("-", "_") for t in texts)]


@dataclass(eq=False)
class Values:
    """Judges values by what they are made from."""

    program: Program
    roles: Roles
    gone: frozenset[ast.stmt] = frozenset()  # statements that no longer bind anything
    _asked: set[tuple[Var, str]] = field(default_factory=set)  # options that are being judged

    def scalar(self, expr: ast.expr | None, frame: Frame, depth: int = 0) -> bool:
        """A number, a string, None, or a container of these: what save_hyperparameters() may hold."""
        if expr is None or depth > 12:
            return False
        down = depth + 1
        match expr:
            case ast.Constant(value=value):
                return not isinstance(value, bytes) and value is not ...
            case ast.JoinedStr():
                return True
            case ast.UnaryOp(operand=operand):
                return self.scalar(operand, frame, down)
            case ast.BinOp(left=left, right=right):
                return self.scalar(left, frame, down) and self.scalar(right, frame, down)
            case ast.BoolOp(values=parts) | ast.Tuple(elts=parts) | ast.List(elts=parts):
                return all(self.scalar(p, frame, down) for p in parts)
            case ast.Compare(left=left, comparators=rest):
                return all(self.scalar(p, frame, down) for p in [left, *rest])
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return all(self.scalar(p, frame, down) for p in [test, body, orelse])
            case ast.Attribute(value=ast.Name(id=name), attr=attr):
                return self._option(frame.resolve(name), attr)
            case ast.Call(func=ast.Attribute(value=ast.Call() as made, attr="is_available")):
                return dotted(made.func) is not None
            case ast.Name(id=name):
                bound = frame.alias(name)
                if bound is not None:
                    return self.scalar(bound.expr, bound.frame, down)
                return self.scalar_variable(frame.resolve(name), down)
            case ast.Call(func=ast.Attribute(attr="item"), args=[]):
                return True
            case ast.Call(func=func):
                name = self.program.canonical(func, frame) or ""
                return name in _SCALAR_CALLS or name.endswith((".is_available", ".is_built", ".device_count"))
        return False

    def scalar_variable(self, var: Var, depth: int = 0) -> bool:
        places = self.roles.definitions.get(var, [])
        return bool(places) and all(
            self._counted(p.stmt, var, p.frame, depth) or self.scalar(p.value, p.frame, depth + 1) for p in places
        )

    def _counted(self, stmt: ast.stmt, var: Var, frame: Frame, depth: int) -> bool:
        """``for fold in range(k):``, ``for lr in [0.1, 0.01]:`` and the number of ``enumerate``."""
        match stmt:
            case ast.For(target=ast.Name(id=name), iter=iterable) if frame.resolve(name) == var:
                return is_range(iterable) or (
                    isinstance(iterable, (ast.List, ast.Tuple)) and self.scalar(iterable, frame, depth + 1)
                )
            case ast.For(target=ast.Tuple(elts=[ast.Name(id=name), *_]), iter=ast.Call(func=ast.Name(id="enumerate"))):
                return frame.resolve(name) == var
        return False

    def _option(self, var: Var, attr: str) -> bool:
        """An attribute of the parsed options, unless the script stores something else in it."""
        if var not in self.roles.namespaces or var.frame is None:
            return False
        if (var, attr) in self._asked:  # args.name = args.name or "run": what it was is judged already
            return True
        self._asked.add((var, attr))
        try:
            return self._stored_option(var, attr, var.frame)
        finally:
            self._asked.discard((var, attr))

    def _stored_option(self, var: Var, attr: str, frame: Frame) -> bool:
        for node in walk(self.program.script.tree):
            match node:
                case ast.Call(func=ast.Attribute(attr="add_argument"), args=flags, keywords=keywords):
                    kinds = [ast.unparse(k.value) for k in keywords if k.arg == "type"]
                    if attr in _destinations(flags, keywords) and any(
                        k.rpartition(".")[2][:1].isupper() for k in kinds
                    ):
                        return False  # made by a class, as pathlib.Path: not what a checkpoint may hold
                case ast.Assign(targets=[ast.Attribute(value=ast.Name(id=name), attr=stored)], value=value):
                    if name == var.name and stored == attr and not self.scalar(value, frame, 1):
                        return False
        return True

    def portable_scalar(self, var: Var) -> bool:
        """A scalar that is made from options and constants alone, so that it can be handed to any class."""
        if not self.scalar_variable(var):
            return False
        for place in self.roles.definitions.get(var, []):
            for name in access(place.value).reads if place.value is not None else ():
                other = place.frame.resolve(name)
                if other == var or other.frame is None or other in self.roles.namespaces:
                    continue
                if other.name in self.program.imports or other.name in other.frame.functions:
                    continue
                if not self.portable_scalar(other):
                    return False
        return True

    def number(self, expr: ast.expr | None, frame: Frame, depth: int = 0) -> bool:
        """Surely a plain number, so that ``self.log`` takes it."""
        if expr is None or depth > 12:
            return False
        down = depth + 1
        match expr:
            case ast.Constant(value=value):
                return isinstance(value, (int, float)) and not isinstance(value, bool)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                return self.number(operand, frame, down)
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() | ast.FloorDiv(), right=right):
                return self.number(left, frame, down) and self.number(right, frame, down)
            case ast.Name(id=name):
                bound = frame.alias(name)
                if bound is not None:
                    return self.number(bound.expr, bound.frame, down)
                return self.number_variable(frame.resolve(name), down)
            case ast.Call(func=ast.Attribute(attr="item"), args=[]):
                return True
            case ast.Call(func=func, args=args):
                name_of = self.program.canonical(func, frame)
                return name_of in ("len", "int", "float") or (
                    name_of in ("max", "min", "abs", "round") and all(self.number(a, frame, down) for a in args)
                )
            case ast.Attribute() if dotted(expr) is not None:
                return False
        return False

    def number_variable(self, var: Var, depth: int = 0) -> bool:
        """Is the variable bound to numbers only? Augmented assignments keep it one when what they add is one."""
        places = [p for p in self.roles.definitions.get(var, []) if p.stmt not in self.gone]
        if not places:
            return False
        for place in places:
            if isinstance(place.stmt, ast.AugAssign):
                if not self.number(place.stmt.value, place.frame, depth + 1):
                    return False
            elif not self.number(place.value, place.frame, depth + 1):
                return False
        return True

"""Which variables may hold a part of what is trained: who reads them may see the weights.

A forward pass gives new tensors; what a class, a container or a function of the script is given, it may keep.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from torchlift_convert.deferred import reached_functions
from torchlift_convert.definitions import assigned
from torchlift_convert.kept import children
from torchlift_convert.knowledge import FRESH_BUILTINS, FRESH_METHODS, QUIET_METHODS, TAKING
from torchlift_convert.names import computed_by_definition, free_names, own_nodes, parameters
from torchlift_convert.program import Frame, FunctionNode, Program, Var
from torchlift_convert.roles import Roles
from torchlift_convert.scopes import walk_statements_of_scope

# Of a model, its parts; what any other method gives back is computed by it, a forward pass for instance.
_PARTS = frozenset(
    "parameters named_parameters state_dict modules named_modules children named_children buffers named_buffers "
    "get_parameter get_submodule get_buffer to cuda cpu train eval double float half apply requires_grad_".split()
)
_VIEWS = frozenset(
    "reshape squeeze unsqueeze flatten transpose t view_as_real as_strided narrow select split chunk unbind movedim "
    "permute swapaxes diagonal ravel detach from_numpy as_tensor asarray broadcast_to expand_dims real imag conj "
    "atleast_1d atleast_2d atleast_3d compile".split()
)


@dataclass(eq=False)
class Holders:
    """``found``: what is trained, and every variable that may hold a part of it."""

    program: Program
    roles: Roles
    found: set[Var] = field(default_factory=set)
    _giving: set[FunctionNode] = field(default_factory=set)  # functions that may return a part of what is trained

    def __post_init__(self) -> None:
        """Go over all statements until nothing is added. A function has one frame here, whoever calls it."""
        self.found |= self.roles.trained
        self._own = self.program.frames
        by_id = {id(v.frame): v.frame.base for v in self.roles.definitions if v.frame is not None}
        frames = list({id(f): f for f in [*self._own.values(), *by_id.values()]}.values())
        pairs = [(s, f) for f in frames for s in walk_statements_of_scope(f.scope.body)]
        calls = [(n, f) for f in frames for n in own_nodes(f.scope) if isinstance(n, ast.Call)]
        size = -1
        while size != len(self.found) + len(self._giving):
            size = len(self.found) + len(self._giving)
            for stmt, frame in pairs:
                self._statement(stmt, frame)
            for call, frame in calls:
                self._hand_over(call, frame)
            for var, places in self.roles.definitions.items():
                if any(p.value is not None and self.holds(p.value, p.frame) for p in places):
                    self.found.add(var)
            for scope, frame in self._own.items():
                given = [n.value for n in own_nodes(scope) if isinstance(n, (ast.Return, ast.Yield, ast.YieldFrom))]
                if not isinstance(scope, ast.Module) and any(v is not None and self.holds(v, frame) for v in given):
                    self._giving.add(scope)

    def _hand_over(self, call: ast.Call, frame: Frame) -> None:
        """Parameters of a function of the script hold what the calls of it are given."""
        target = frame.function(call.func.id) if isinstance(call.func, ast.Name) else None
        if target is None:
            return
        spec, inner = target[0].args, self._own[target[0]]
        names = [a.arg for a in [*spec.posonlyargs, *spec.args]]
        spread = any(isinstance(a, ast.Starred) for a in call.args) or spec.vararg or spec.kwarg
        if spread or not all(k.arg for k in call.keywords):
            given = [(n, a) for n in parameters(spec) for a in [*call.args, *(k.value for k in call.keywords)]]
        else:
            given = [*zip(names, call.args, strict=False), *((k.arg, k.value) for k in call.keywords if k.arg)]
        self.found |= {Var(inner, name) for name, value in given if self.holds(value, frame)}

    def _statement(self, stmt: ast.stmt, frame: Frame) -> None:
        match stmt:
            case ast.Assign(targets=targets, value=value):
                pairs = list(assigned(stmt, frame))
                if all(v is not None for _, v in pairs) and pairs:
                    self.found |= {var for var, part in pairs if part is not None and self.holds(part, frame)}
                if self.holds(value, frame):
                    whole = [t for t in targets if not isinstance(t, ast.Tuple) or not isinstance(value, ast.Tuple)]
                    self._fill(whole, frame)
            case ast.AnnAssign(target=target, value=ast.expr() as value) | ast.AugAssign(target=target, value=value):
                if self.holds(value, frame):
                    self._fill([target], frame)
            case ast.For(target=target, iter=source) | ast.AsyncFor(target=target, iter=source):
                if self.holds(source, frame):
                    self._fill([target], frame)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                if any(self.holds(e, frame) for e in computed_by_definition(stmt)):
                    self.found.add(frame.resolve(stmt.name))
            case ast.With(items=items) | ast.AsyncWith(items=items):
                self._fill(
                    [i.optional_vars for i in items if i.optional_vars and self.holds(i.context_expr, frame)], frame
                )
            case ast.Expr(value=ast.Call(func=func, args=args, keywords=keywords)):
                own = isinstance(func, ast.Name) and frame.function(func.id) is not None
                given = [*args, *(k.value for k in keywords)]
                if not own and self.program.canonical(func, frame) is None and any(self.holds(a, frame) for a in given):
                    self._fill([*given, *([func.value] if isinstance(func, ast.Attribute) else [])], frame)

    def _fill(self, targets: list[ast.expr], frame: Frame) -> None:
        """A value that holds a part goes to these: into names, or into the objects that they are parts of."""
        for target in targets:
            parts = target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]
            for part in parts:
                root: ast.expr = part.value if isinstance(part, ast.Starred) else part
                while isinstance(root, (ast.Attribute, ast.Subscript)):
                    root = root.value
                if isinstance(root, ast.Name):
                    self.found.add(frame.resolve(root.id))
                elif isinstance(root, (ast.Tuple, ast.List)):
                    self._fill([root], frame)

    def holds(self, expr: ast.expr, frame: Frame) -> bool:
        """May the value of an expression be, or lead to, a part of what is trained?"""
        match expr:
            case ast.Name(id=name):
                bound = frame.alias(name)
                if bound is not None and self.holds(bound.expr, bound.frame):
                    return True
                function = frame.function(name)
                return frame.resolve(name) in self.found or (function is not None and self._reads(function))
            case ast.Attribute(value=value) | ast.Subscript(value=value) | ast.Starred(value=value):
                return self.holds(value, frame)
            case ast.NamedExpr(value=value) | ast.Await(value=value):
                return self.holds(value, frame)
            case ast.Lambda(args=spec):
                defaults = [*spec.defaults, *(d for d in spec.kw_defaults if d)]
                return any(frame.resolve(n) in self.found for n in free_names(expr).reads) or any(
                    self.holds(d, frame) for d in defaults
                )
            case ast.Call():
                return self._call(expr, frame)
            case ast.Constant() | ast.JoinedStr() | ast.BinOp() | ast.UnaryOp() | ast.Compare():
                return False
        return any(self.holds(e, frame) for e in children(expr) if isinstance(e, ast.expr)) or any(
            self.holds(g.iter, frame) for g in getattr(expr, "generators", ())
        )

    def _call(self, call: ast.Call, frame: Frame) -> bool:
        given = [*call.args, *(k.value for k in call.keywords)]
        name = self.program.canonical(call.func, frame)
        if name is not None:
            last = name.rpartition(".")[2]
            fresh = name in FRESH_BUILTINS or (
                name.startswith("torch.") and last[:1].islower() and last not in _VIEWS and ".utils.data." not in name
            )
            return not fresh and any(self.holds(a, frame) for a in given)
        match call.func:
            case ast.Name(id=called) if frame.resolve(called) in self.roles.models:
                return False
            case ast.Name(id=called):
                function, cls = frame.function(called), self.program.module.classes.get(called)
                if function is not None:
                    return function[0] in self._giving or bool(function[0].decorator_list)
                held = cls is not None and (frame.resolve(called) in self.found or self._class_reads(cls))
                return held or any(self.holds(a, frame) for a in given)
            case ast.Attribute(attr=attr) if attr in FRESH_METHODS:
                return False
            case ast.Attribute(value=ast.Name(id=owner), attr=attr) if frame.resolve(owner) in self.roles.models:
                return attr in _PARTS or self._own_part(attr)
            case ast.Attribute(value=value, attr=attr):
                taken = () if attr in QUIET_METHODS - TAKING else given
                return self.holds(value, frame) or any(self.holds(a, frame) for a in taken)
        return self.holds(call.func, frame) or any(self.holds(a, frame) for a in given)

    def given_away(self, node: ast.AST, frame: Frame) -> bool:
        """Is the node a call of something unknown that is given a part of what is trained?"""
        if not isinstance(node, ast.Call) or isinstance(node.func, ast.Attribute):
            return False
        name = self.program.canonical(node.func, frame)
        known = name is not None and ("." not in name or name.startswith("torch."))
        own = isinstance(node.func, ast.Name) and (
            frame.function(node.func.id) is not None
            or node.func.id in self.program.module.classes
            or self.holds(node.func, frame)
        )
        given = [*node.args, *(k.value for k in node.keywords)]
        return not known and not own and any(self.holds(a, frame) for a in given)

    def _own_part(self, method: str) -> bool:
        """May a method that the script defines give back a part of its object?"""
        for cls in self.program.module.classes.values():
            for one in cls.body:
                if isinstance(one, ast.FunctionDef) and one.name == method:
                    returned = [n.value for n in own_nodes(one) if isinstance(n, (ast.Return, ast.Yield)) and n.value]
                    if any(not isinstance(v, (ast.Call, ast.BinOp, ast.Constant, ast.Name)) for v in returned):
                        return True
        return False

    def _reads(self, function: tuple[FunctionNode, Frame]) -> bool:
        """Does a function read what is held by a name of its own, not as an argument?"""
        reached = reached_functions(self.program, function[1], [ast.Name(function[0].name, ast.Load())])
        return any(self._free(f, frame) for f, frame in reached.items() if not isinstance(f, ast.ClassDef))

    def _class_reads(self, cls: ast.ClassDef) -> bool:
        methods = [m for m in cls.body if isinstance(m, (ast.FunctionDef, ast.AsyncFunctionDef))]
        return any(self._free(m, Frame(m, self.program.module)) for m in methods)

    def _free(self, function: ast.AST, inner: Frame) -> bool:
        assert isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        own = frozenset(parameters(function.args))
        return any(inner.resolve(n) in self.found for n in free_names(function).reads - own)

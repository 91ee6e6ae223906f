"""The statements that make optimizers and schedulers, and whether the script uses them before the loops."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace

from torchlift_convert.definitions import assigned
from torchlift_convert.diagnostics import Refuse
from torchlift_convert.kept import walk
from torchlift_convert.planning.context import Context
from torchlift_convert.program import Item, Var, flow_over
from torchlift_convert.references import references
from torchlift_convert.syntax import nodes_of


@dataclass(eq=False)
class OptimizerPlanner:
    """Answers for the optimizers of one script."""

    ctx: Context

    def config(self) -> list[ast.stmt]:
        """The statements that make optimizers and schedulers, with what only they need.

        All of them run in ``configure_optimizers`` or none does: they stay where they are, and what they make is handed
        to the module, when a statement of theirs does something else too, or does not commute with what follows it.
        """
        self._refuse_unsure()
        own = self._own()
        if not self._unmixed(own) or not self._may_move(self._with_helpers(own)):
            self.hand_over()
            return []
        return self._with_helpers(own)

    def _refuse_unsure(self) -> None:
        """What may not be bound cannot be handed over; at module level the script's own questions come first."""
        for var in sorted(self.ctx.roles.unsure, key=lambda v: v.order):
            if not self.ctx.home.is_module:
                raise Refuse(
                    "TL106",
                    f"The optimizer '{var.name}' is made under a condition only.",
                    self.ctx.roles.definitions[var][0].stmt,
                    "Make an optimizer on every path to the loop, or let it be None.",
                )

    def hand_over(self) -> None:
        """Let optimizers and schedulers be made where the script makes them."""
        roles = self.ctx.roles
        self.ctx.roles = replace(roles, handed=frozenset({*roles.optimizers, *roles.schedulers}))

    def _own(self) -> list[ast.stmt]:
        wanted = self._made_here()
        return [s for s in self.ctx.pre if self.ctx.bound_by(s) & wanted]

    def _optimizers_made_here(self) -> list[Var]:
        wanted = self._made_here()
        return [v for v in self.ctx.roles.optimizers if v in wanted]

    def _unmixed(self, own: list[ast.stmt]) -> bool:
        """Do these statements bind nothing else, and bind every optimizer on all paths?"""
        wanted = self._made_here()
        made = flow_over([Item(s, self.ctx.home) for s in own]).must
        return all(self.ctx.bound_by(s) <= wanted for s in own) and made >= set(self._optimizers_made_here())

    def _may_move(self, config: list[ast.stmt]) -> bool:
        """May these statements run after all that stands before the loops?"""
        for n, stmt in enumerate(self.ctx.pre):
            if stmt in config:
                item = Item(stmt, self.ctx.home)
                effects = self.ctx.judge.of_item(item)
                if effects.draws or effects.writes or effects.clock or effects.unknown:
                    return False
                later = [s for s in self.ctx.pre[n + 1 :] if s not in config]
                if not all(self._unread(item, Item(s, self.ctx.home)) for s in later):
                    return False
        return True

    def _unread(self, item: Item, later: Item) -> bool:
        """Does a later statement leave alone what this one reads? The values of weights do not matter to optimizers."""
        read = self.ctx.judge.reads(item)
        structure = _only_structure(item)
        if not structure and read & self.ctx.judge.reads(later) & {*self.ctx.roles.models}:
            return False  # parts of the model may be changed through other names
        for var in self.ctx.judge.changes(later) & read - self._made_here():  # who uses those early has them made early
            if var in self.ctx.roles.models and structure and _keeps_parameters(later, var):
                continue
            if var in self.ctx.roles.namespaces and not self._touches_option(item, later, var):
                continue
            return False
        return True

    def _touches_option(self, item: Item, later: Item, var: Var) -> bool:
        """May a later statement change an option that this one reads?"""
        read = {attr for v, attr in references(item.stmt, item.frame, self.ctx.roles) if v == var}
        stored = _attributes_stored(later, var)
        return stored is None or None in read or bool(read & stored)

    def _made_here(self) -> set[Var]:
        """The optimizers and schedulers that the function of the loops makes; others are handed to it."""
        return {*self.ctx.roles.optimizers, *self.ctx.roles.schedulers} - self.ctx.roles.handed

    def _with_helpers(self, own: list[ast.stmt]) -> list[ast.stmt]:
        """Add statements whose results only the optimizers need."""
        changed = True
        while changed:
            changed = False
            needed = {v for s in own for v, _ in references(s, self.ctx.home, self.ctx.roles)}
            for stmt in self.ctx.pre:
                if stmt in own or not isinstance(stmt, ast.Assign):
                    continue
                binds = {v for v, _ in assigned(stmt, self.ctx.home)}
                reads = {v for v, _ in references(stmt, self.ctx.home, self.ctx.roles)}
                if not binds & needed or not reads & {*self.ctx.roles.models} or binds & {*self.ctx.roles.models}:
                    continue
                rest = [i for i in self.ctx.rest() if i.stmt not in own and i.stmt is not stmt]
                if not any(binds & self.ctx.judge.reads(i) for i in [*rest, *self.ctx.hooks]):
                    own.append(stmt)
                    changed = True
        return sorted(own, key=self.ctx.pre.index)

    def made_outside(self) -> bool:
        """Does the script make optimizers where it did, and hand them over? Then it makes their models too."""
        outside = self.ctx.roles.held | self.ctx.roles.handed
        return any(outside & self.ctx.bound_by(s) for s in self.ctx.pre)

    def used_early(self, config: list[ast.stmt]) -> bool:
        """Does a statement before the loops use an optimizer or scheduler, as resuming does?"""
        wanted = self._made_here()
        rest = [s for s in self.ctx.pre if s not in config]
        if wanted & self.ctx.pinned:
            return True  # a function of the script looks them up by name
        return any(wanted & self.ctx.judge.reads(Item(s, self.ctx.home)) for s in rest)


# Methods of modules that leave alone which parameters there are.
_KEEPING = frozenset("to cuda cpu train eval apply load_state_dict double float half share_memory zero_grad".split())


def _only_structure(item: Item) -> bool:
    """Does a statement ask a model for no more than which parameters it has?"""
    for node in nodes_of(item.shape):
        if isinstance(node, ast.Attribute) and node.attr in ("requires_grad", "data", "grad", "item"):
            return False
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if item.frame.function(node.func.id) is not None:
                return False
    return True


def _keeps_parameters(later: Item, var: Var) -> bool:
    """Does a statement only move a model, load its weights, or set its mode?"""
    for node in nodes_of(later.shape):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attr)):
                if later.frame.resolve(name) == var and attr not in _KEEPING:
                    return False
            case ast.Attribute(ctx=ast.Store()) | ast.Subscript(ctx=ast.Store()):
                return False
            case ast.Call(args=args, keywords=keywords):
                given = [n for a in [*args, *(k.value for k in keywords)] for n in walk(a)]
                if any(isinstance(n, ast.Name) and later.frame.resolve(n.id) == var for n in given):
                    return False
            case ast.Name(id=name, ctx=ast.Store()) if later.frame.resolve(name) == var:
                return False
    return True


def _attributes_stored(item: Item, var: Var) -> set[str] | None:
    """The attributes of a variable that a statement sets; None when it may do more to it."""
    stored: set[str] = set()
    plain: set[int] = set()
    for node in nodes_of(item.shape):
        match node:
            case ast.Attribute(value=ast.Name(id=name) as owner, attr=attr, ctx=ctx) if item.frame.resolve(name) == var:
                plain.add(id(owner))
                if not isinstance(ctx, ast.Load):
                    stored.add(attr)
            case ast.AugAssign(target=ast.Attribute(value=ast.Name(id=name), attr=attr)):
                stored |= {attr} if item.frame.resolve(name) == var else set()
            case ast.Name(id=name) if item.frame.resolve(name) == var and id(node) not in plain:
                return None
    return stored

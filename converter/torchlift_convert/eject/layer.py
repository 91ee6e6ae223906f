"""Lays the hooks of one entry call into its loop: the words they use, and their statements as they stand there."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field

import libcst as cst

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.eject import hooks as H
from torchlift_convert.eject.logs import Logged, logged_in
from torchlift_convert.eject.options import Settings
from torchlift_convert.eject.records import Entry, Function, receiver
from torchlift_convert.eject.rewriting import (
    Rewriter,
    Statements,
    Wording,
    comment_lines,
    rewritten,
    with_comments,
)
from torchlift_convert.eject.words import MODULE_API
from torchlift_convert.names import parameters
from torchlift_convert.program import Program, dotted
from torchlift_convert.reserved import unique
from torchlift_convert.rewrite import Origins
from torchlift_convert.syntax import walk_statements

# Positions of a hook's arguments behind self.
ARGUMENTS = {
    "step": ("batch", "batch_idx"),
    "batch_start": ("batch", "batch_idx"),
    "batch_end": ("outputs", "batch", "batch_idx"),
    "optimizer": ("optimizer",),
    "loss": ("loss",),
}


def arguments_of(hook: str) -> tuple[str, ...]:
    """What the loop hands to a hook."""
    for ending in ("batch_start", "batch_end", "step"):
        if hook.endswith(f"_{ending}") and hook != "on_before_optimizer_step":
            return ARGUMENTS[ending]
    if hook in ("on_before_optimizer_step", "on_before_zero_grad"):
        return ARGUMENTS["optimizer"]
    return ARGUMENTS["loss"] if hook == "on_before_backward" else ()


@dataclass(eq=False)
class Layer:
    """One entry call's hooks. ``taken``: names that the place of the loop knows; ``own``: those that the loop uses."""

    entry: Entry
    program: Program
    settings: Settings
    laid: list[Function]
    origins: Origins
    taken: set[str]
    paths: dict[str, str] = field(default_factory=dict)  # 'self.…' of Lightning's, and the loop's own words for them
    free: set[str] = field(default_factory=set)  # attributes that are plain variables here
    own: dict[str, str] = field(default_factory=dict)  # the loop's variables by what they are
    comments: list[cst.EmptyLine] = field(default_factory=list)  # of what went away, waiting for a statement
    locals: dict[Function, dict[str, str]] = field(default_factory=dict)
    codes: dict[str, list[str]] = field(default_factory=dict)  # of the optimizers, of the schedulers
    unpacked: set[ast.stmt] = field(default_factory=set)  # 'x, y = batch' that the loop's header does
    used: set[str] = field(default_factory=set)  # of the loop's variables
    stops: bool = False
    written: set[str] = field(default_factory=set)  # hooks that have found their place
    log_lines: Callable[[Logged, str], list[str]] = lambda logged, code: []

    def name(self, what: str, wanted: str) -> str:
        """A variable of the loop's own."""
        if what not in self.own:
            self.own[what] = unique(wanted, self.taken)
            self.taken.add(self.own[what])
        return self.own[what]

    def settle(self) -> None:
        """Give every local name of the hooks the name it has here."""
        stage_of = {"training": "train", "validation": "val", "test": "test", "predict": "predict"}
        for hook in self.laid:
            H.check_layable(hook)
        first = [h for h in self.laid if h.name == "configure_optimizers"]
        for hook in first + [h for h in self.laid if h not in first]:
            prefix = next(
                (short for s, short in stage_of.items() if s in hook.name), "train" if hook in first else "epoch"
            )
            names = self._aliases(hook)
            given = dict(zip(parameters(hook.args)[1:], arguments_of(hook.name)))
            for local in sorted(H.locals_of(hook) - set(given) - set(names)):
                names[local] = unique(local, self.taken, prefer=prefix)
            self.locals[hook] = names
            if hook in first:
                self.taken |= set(names.values())
        self.taken |= {n for names in self.locals.values() for n in names.values()}

    def _aliases(self, hook: Function) -> dict[str, str]:
        """Local names for the optimizers and schedulers, which have names in the loop already."""
        names: dict[str, str] = {}
        own = receiver(hook)
        for stmt in hook.body:
            if not (isinstance(stmt, ast.Assign) and len(stmt.targets) == 1 and isinstance(stmt.value, ast.Call)):
                continue
            what = {f"{own}.optimizers": "optimizers", f"{own}.lr_schedulers": "schedulers"}.get(
                dotted(stmt.value.func) or ""
            )
            if what is None or what not in self.own or stmt.value.args:
                continue
            target, codes = stmt.targets[0], self.codes[what]
            parts = target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]
            ids = [p.id for p in parts if isinstance(p, ast.Name)]
            bound_once = all(_times_bound(hook, i) == 1 for i in ids)
            if len(ids) == len(parts) == len(codes) and bound_once:
                names |= dict(zip(ids, codes))
                self.unpacked.add(stmt)
        return names

    # -- words ----------

    def wording(self, hook: Function) -> Wording:
        own, model = receiver(hook), self.entry.model
        words = Wording(paths={f"{own}.{p}": code for p, code in self.paths.items()})
        words.paths |= {f"{own}.{a}": a for a in self.free}
        words.names = {own: model} | self.locals.get(hook, {})
        for given, what in zip(parameters(hook.args)[1:], arguments_of(hook.name)):
            words.names[given] = self.own.get(what, what)
        words.calls = {
            f"{own}.manual_backward": _backward,
            f"{own}.print": lambda call: call.with_changes(func=cst.Name("print")),
        }
        optimizers, schedulers = self.own.get("optimizers"), self.own.get("schedulers")
        if optimizers:
            words.calls[f"{own}.optimizers"] = lambda call: cst.parse_expression(optimizers)
        if schedulers:
            words.calls[f"{own}.lr_schedulers"] = lambda call: cst.parse_expression(schedulers)
        if arguments_of(hook.name)[:1] == ("outputs",) and len(parameters(hook.args)) > 1:
            outputs = parameters(hook.args)[1]
            words.names.pop(outputs, None)
            if "loss" in self.own:
                words.entries[outputs] = f"{self.own['loss']}.detach()"
        for name, value in self.entry.module.properties().items():
            method = self.entry.module.methods[name]
            words.paths[f"{own}.{name}"] = self._property(method, value, hook)
        return words

    def _property(self, method: Function, value: ast.expr, hook: Function) -> str:
        self.check(value, method, {receiver(method)})
        source = ast.get_source_segment(self.program.script.text, value) or ast.unparse(value)
        words = Wording(
            paths={f"{receiver(method)}.{p}": code for p, code in self.paths.items()},
            names={receiver(method): self.entry.model},
        )
        new = cst.parse_expression(f"({source})").visit(Rewriter(words, Origins()))
        assert isinstance(new, cst.BaseExpression)
        return cst.Module([]).code_for_node(new.with_changes(lpar=[], rpar=[]))

    def code(self, expr: ast.expr, hook: Function) -> str:
        """An expression of a hook as it reads in the loop."""
        source = ast.get_source_segment(self.program.script.text, expr) or ast.unparse(expr)
        line = cst.parse_statement(f"({source}\n)")
        new = line.visit(Rewriter(self.wording(hook), Origins()))
        expr_node = new.body[0].value  # type: ignore[union-attr, index]
        return (
            cst.Module([])
            .code_for_node(expr_node.with_changes(lpar=expr_node.lpar[1:], rpar=expr_node.rpar[1:]))
            .strip()
        )

    # -- what there are no words for ----------

    def check(self, node: ast.AST, hook: Function, own: set[str] | None = None) -> None:
        """Refuse a use of Lightning that has no place in the loop."""
        own = own or {receiver(hook)}
        properties = self.entry.module.properties()
        known = {"manual_backward", "print", "log", "log_dict", "hparams", *properties}
        known |= {"optimizers"} if "optimizers" in self.own else set()
        known |= {"lr_schedulers"} if "schedulers" in self.own else set()
        self._check_outputs(hook)
        stops = {n for n in ast.walk(node) if isinstance(n, ast.Attribute) and _is_stop(n)}
        covered = {inner for n in stops for inner in ast.walk(n)}
        for one in ast.walk(node):
            path = dotted(one) if isinstance(one, ast.Attribute) and one not in covered else None
            root, _, rest = (path or "").partition(".")
            if root not in own or any(rest == p or rest.startswith(f"{p}.") for p in self.paths):
                continue
            first = rest.partition(".")[0]
            if any(p.startswith(f"{rest}.") for p in self.paths):
                if self._longest(one, node):  # type: ignore[arg-type]
                    continue
            if first in MODULE_API and first not in known:
                assert isinstance(one, ast.Attribute)
                raise Refuse(
                    "TL805",
                    f"'{ast.unparse(one)}' in {hook.name} has no counterpart in a plain loop.",
                    one,
                    "Keep what is needed in an attribute of the module, or pass it in.",
                )

    def _check_outputs(self, hook: Function) -> None:
        """Of a step's outputs, the loop knows the loss that was differentiated."""
        if arguments_of(hook.name)[:1] != ("outputs",) or len(parameters(hook.args)) < 2:
            return
        outputs = parameters(hook.args)[1]
        known = hook.name == "on_train_batch_end" and "loss" in self.own and self.settings.accumulate is None
        loss = {
            n.value
            for n in ast.walk(hook)
            if isinstance(n, ast.Subscript) and isinstance(n.slice, ast.Constant) and n.slice.value == "loss"
        }
        for node in ast.walk(hook):
            if isinstance(node, ast.Name) and node.id == outputs and not (known and node in loss):
                raise Refuse(
                    "TL805",
                    f"{hook.name} reads what the step returned, which the loop does not collect.",
                    node,
                    "Keep the value in an attribute of the module.",
                )

    def _longest(self, one: ast.Attribute, node: ast.AST) -> str:
        """A known path that an attribute is part of."""
        for other in ast.walk(node):
            if isinstance(other, ast.Attribute) and one in ast.walk(other):
                rest = (dotted(other) or "").partition(".")[2]
                if rest in self.paths:
                    return rest
        return ""

    # -- statements ----------

    def body(self, name: str) -> Statements:
        """The statements of a hook as they stand in the loop; its comments wait where nothing is left of it."""
        hook = self.entry.module.methods.get(name)
        if hook is None or hook not in self.laid:
            return []
        self.written.add(name)
        node = self.program.script.node[hook]
        assert isinstance(node, cst.FunctionDef)
        replaced = self._special(hook)
        for stmt in hook.body:
            self.check(stmt, hook)
        words = self.wording(hook)
        lines = list(node.body.body)
        out: Statements = []
        for line in lines:
            comments = [e for e in getattr(line, "leading_lines", ()) if e.comment]
            if replaced.get(id(line)) == []:
                self.comments += comments + comment_lines([line])[len(comments) :]
                continue
            new = rewritten([line], Rewriter(words, self.origins, replaced))  # type: ignore[list-item]
            if replaced.get(id(line)) and new:
                new = with_comments(new, comments)
            if not new:
                self.comments += comments
                continue
            out += self.released(new)
        self.comments += [e for e in getattr(node.body, "footer", ()) if e.comment]
        for stmt in walk_statements(hook.body):
            self.origins.place(stmt, f"the loop at Trainer.{self.entry.kind}")
        if out:
            first = out[0]
            out[0] = first.with_changes(leading_lines=_without_blank(first.leading_lines))  # type: ignore[attr-defined]
        return out

    def released(self, nodes: Statements) -> Statements:
        """Statements with the comments in front that wait for one."""
        waiting, self.comments = self.comments, []
        return with_comments(nodes, waiting)

    def _special(self, hook: Function) -> dict[int, Statements]:
        """Statements that become something else: the final return, logs, the end of training, super's hooks."""
        found: dict[int, Statements] = {}
        script = self.program.script
        own = receiver(hook)

        def put(stmt: ast.stmt, nodes: Statements) -> None:
            found[id(script.line.get(stmt, script.node[stmt]))] = nodes

        for ret in H.tail_returns(hook):
            put(ret, [])
        for stmt in self.unpacked:
            put(stmt, [])
        for stmt in walk_statements(hook.body):
            if isinstance(stmt, ast.Expr) and isinstance(stmt.value, ast.Constant):
                put(stmt, [])
            elif isinstance(stmt, ast.Expr) and isinstance(stmt.value, ast.Call):
                func = stmt.value.func
                if (
                    isinstance(func, ast.Attribute)
                    and isinstance(func.value, ast.Call)
                    and dotted(func.value.func) == "super"
                ):
                    put(stmt, [])
            elif isinstance(stmt, ast.Assign) and len(stmt.targets) == 1:
                path = dotted(stmt.targets[0])
                if path == f"{own}.trainer.should_stop":
                    put(stmt, self._stop(stmt, hook))
        for logged in logged_in(hook, self.entry.module, self.program):
            put(logged.stmt, [])
        by_stmt: dict[ast.stmt, list[Logged]] = {}
        for logged in logged_in(hook, self.entry.module, self.program):
            by_stmt.setdefault(logged.stmt, []).append(logged)
        for stmt, values in by_stmt.items():
            put(stmt, [_statement(line) for v in values for line in self.log_lines(v, self.code(v.value, hook))])
        return found

    def _stop(self, stmt: ast.Assign, hook: Function) -> Statements:
        late = ("on_train_epoch_end", "on_validation_epoch_end", "on_validation_end")
        if hook.name not in late or not (isinstance(stmt.value, ast.Constant) and stmt.value.value is True):
            raise Refuse(
                "TL805",
                f"{hook.name} stops training in the middle of an epoch, which the Trainer answers in its own way.",
                stmt,
                "Set trainer.should_stop in on_train_epoch_end or on_validation_epoch_end.",
            )
        self.stops = True
        return [_statement(f"{self.name('stop', 'should_stop')} = True")]


def _is_stop(node: ast.Attribute) -> bool:
    return isinstance(node.ctx, ast.Store) and (dotted(node) or "").endswith(".trainer.should_stop")


def _times_bound(hook: Function, name: str) -> int:
    stores = [n for n in ast.walk(hook) if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Store)]
    return len(stores)


def _statement(code: str) -> cst.BaseStatement:
    node = cst.parse_statement(code)
    assert isinstance(node, cst.BaseStatement)
    return node


def _without_blank(lines: object) -> list[cst.EmptyLine]:
    kept = list(lines)  # type: ignore[call-overload]
    while kept and kept[0].comment is None:
        kept.pop(0)
    return kept


def _backward(call: cst.Call) -> cst.BaseExpression:
    """``self.manual_backward(loss, retain_graph=True)`` -> ``loss.backward(retain_graph=True)``."""
    loss, *rest = call.args
    value = loss.value
    if not isinstance(value, (cst.Name, cst.Attribute, cst.Call, cst.Subscript)):
        value = value.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    return call.with_changes(func=cst.Attribute(value, cst.Name("backward")), args=rest)

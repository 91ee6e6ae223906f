"""``accelerate.Accelerator`` in one process: what its methods do there, written as a plain loop.

Measured with accelerate 1.15 on one process: ``prepare`` moves a model and wraps the rest; ``backward`` divides the
loss by the accumulation steps; a prepared optimizer or scheduler does nothing inside of ``accumulate`` but at every
k-th batch and at the last one of the loader; a prepared loader fetches one batch ahead and draws nothing of its own.
https://huggingface.co/docs/accelerate/package_reference/accelerator
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.kept import walk
from torchlift_convert.lowering.accumulating import Accumulating
from torchlift_convert.lowering.edits import Edited
from torchlift_convert.lowering.prepared import Kind, Prepared, rows
from torchlift_convert.syntax import walk_statements

HERE = "one process does not need the Accelerator"
TRUE = ("is_main_process", "is_local_main_process", "is_last_process")
SAME = ("gather", "unwrap_model")
NOTHING = ("wait_for_everyone", "end_training")
RENAMED = {
    "clip_grad_norm_": "torch.nn.utils.clip_grad_norm_",
    "clip_grad_value_": "torch.nn.utils.clip_grad_value_",
    "save": "torch.save",
    "print": "print",
}
QUIET = ("cpu", "mixed_precision", "gradient_accumulation_steps", "even_batches", "step_scheduler_with_optimizer")


@dataclass(eq=False)
class Accelerator:
    """The one Accelerator of a script, and the statement that makes it."""

    edited: Edited
    made: ast.Assign
    name: str
    prepared: Prepared
    device: str = "device"
    conditions: set[ast.Attribute] = field(default_factory=set)  # ``sync_gradients`` that are written out

    def lower(self) -> None:
        """Raises Refuse where it does more than a plain loop in one process."""
        if {"torch", "len", "enumerate"} & set(self.prepared.bound):
            raise _refuse("torch, len or enumerate is a name of the script's own", self.made, "Give it another name.")
        self._options()
        self._uses()
        self._imports()

    # -- what it is made of ----------

    def _options(self) -> None:
        call = self.made.value
        assert isinstance(call, ast.Call)
        if call.args:
            raise _refuse("an argument of Accelerator() has no name", self.made, "Name its arguments.")
        given = {k.arg: k.value for k in call.keywords}
        for name, value in given.items():
            if name not in QUIET:
                raise _refuse(f"Accelerator({name}=...) changes what it does", self.made, "Leave that argument out.")
            if name == "mixed_precision" and not (isinstance(value, ast.Constant) and value.value in (None, "no")):
                remedy = 'Write mixed_precision="no", and torch.autocast around the forward pass in the loop.'
                raise _refuse(
                    "the Accelerator computes in mixed precision inside of the model's forward", value, remedy
                )
            if name == "step_scheduler_with_optimizer" and not _is(value, True):
                raise _refuse("the scheduler steps apart from its optimizer", value, "Leave that argument out.")
        steps = given.get("gradient_accumulation_steps")
        self.steps = "" if steps is None or _is(steps, 1) else self._steady(steps)
        where = ['"cuda" if torch.cuda.is_available()', 'else "mps" if torch.backends.mps.is_available()', 'else "cpu"']
        cpu = given.get("cpu")
        if cpu is not None and not _is(cpu, False):
            where = ['"cpu"'] if _is(cpu, True) else [f'"cpu" if {self._steady(cpu)}', f"else {where[0]}", *where[1:]]
        indent = "\n" + " " * self.made.col_offset
        self.where = f"torch.device({where[0]})"
        if len(where) > 1:
            self.where = "torch.device(" + "".join(f"{indent}    {line}" for line in where) + f"{indent})"

    def _steady(self, value: ast.expr) -> str:
        """The text of a value that is the same wherever it is written."""
        text = self.edited.source(value)
        match value:
            case ast.Constant():
                return text
            case ast.Name(id=name) if self.prepared.is_constant(name):
                return text
            case ast.Attribute(value=ast.Name(id=name)) if self.prepared.is_constant(name):
                stores = [n for n in walk(self.edited.tree) if isinstance(n, ast.Attribute) and n.attr == value.attr]
                if all(isinstance(n.ctx, ast.Load) for n in stores):
                    return text
        raise _refuse(f"{text} may change after the Accelerator was made", value, "Give it a name that is bound once.")

    # -- what is asked of it ----------

    def _uses(self) -> None:
        tree = self.edited.tree
        self.parents = {c: p for p in ast.walk(tree) for c in ast.iter_child_nodes(p)}
        self.stmts = set(walk_statements(tree.body))
        uses = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == self.name]
        if sum(not isinstance(n.ctx, ast.Load) for n in uses) != 1:
            raise _refuse("the Accelerator's name is bound more than once", self.made, "Make one, under one name.")
        self._place()
        handed = self._handed()
        asked = [n for n in uses if isinstance(n.ctx, ast.Load) and n not in handed]
        for use in sorted(asked, key=self._rank):
            self._use(use)

    def _rank(self, use: ast.Name) -> tuple[int, int, int]:
        """What is prepared is known first, then where batches are counted."""
        what = getattr(self.parents[use], "attr", "")
        order = 0 if what.startswith("prepare") else 1 if what == "accumulate" else 2
        return order, use.lineno, use.col_offset

    def _place(self) -> None:
        """The statement that makes the Accelerator makes the device, under the name that the script has for it."""
        names = {n.id for n in ast.walk(self.edited.tree) if isinstance(n, ast.Name)}
        names |= {n.arg for n in ast.walk(self.edited.tree) if isinstance(n, ast.arg)}
        asked = [n for n in ast.walk(self.edited.tree) if isinstance(n, ast.Assign) and self._is_device(n.value)]
        binds = [n for n in ast.walk(self.edited.tree) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)]
        one = asked[0] if len(asked) == 1 and isinstance(asked[0].targets[0], ast.Name) else None
        if one is not None and len(one.targets) == 1 and self._beside(one):
            self.device = one.targets[0].id  # type: ignore[attr-defined]
            if sum(n.id == self.device for n in binds) == 1:
                before = [n for n in ast.walk(self.edited.tree) if isinstance(n, ast.Name) and n.id == self.device]
                later = all((n.lineno, n.col_offset) >= (one.lineno, one.col_offset) for n in before)
                if later and not self._takes_both():
                    self.edited.remove(one, f"{self.device} is made where the Accelerator was")
                    names.discard(self.device)
        if self.device in names:
            self.device = next(n for n in ("place", "own_device", "training_device", "device_") if n not in names)
        self.edited.replace(self.made, f"{self.device} = {self.where}")

    def _takes_both(self) -> bool:
        """Does a function that uses the Accelerator have a parameter called as the device?"""
        functions = [n for n in ast.walk(self.edited.tree) if isinstance(n, (ast.FunctionDef, ast.Lambda))]
        return any(
            {self.device, self.name} <= {getattr(n, "arg", None) or getattr(n, "id", None) for n in ast.walk(f)}
            and any(isinstance(n, ast.arg) and n.arg == self.device for n in ast.walk(f))
            for f in functions
        )

    def _is_device(self, value: ast.expr) -> bool:
        return ast.unparse(value) == f"{self.name}.device"

    def _beside(self, stmt: ast.stmt) -> bool:
        return self.parents[stmt] is self.parents[self.made]

    def _handed(self) -> set[ast.Name]:
        """The Accelerator given to functions of the script under its own name: they get the device instead."""
        tree, out = self.edited.tree, set[ast.Name]()
        functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
        wanting = {n: [a.arg for a in f.args.args].index(self.name) for n, f in functions.items()
                   if self.name in [a.arg for a in f.args.args]}  # fmt: skip
        for function, place in wanting.items():
            if functions[function].args.defaults or functions[function].args.posonlyargs:
                raise _refuse(f"{function}() is handed the Accelerator", functions[function], "Give it no defaults.")
            for use in (n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == function):
                call = self.parents[use]
                if not (isinstance(call, ast.Call) and call.func is use):
                    raise _refuse(f"{function}(), which takes the Accelerator, is handed on", use, "Call it by name.")
                given = [a for a in call.args[place : place + 1] if not isinstance(a, ast.Starred)]
                given += [k.value for k in call.keywords if k.arg == self.name]
                if len(given) != 1 or not isinstance(given[0], ast.Name) or given[0].id != self.name:
                    raise _refuse(f"{function}() is not called with the Accelerator", call, "Hand it over by its name.")
                out.add(given[0])
                self.edited.replace(given[0], self.device)
                for keyword in (k for k in call.keywords if k.arg == self.name):
                    start = self.edited.at(keyword.lineno, keyword.col_offset)
                    self.edited.put(start, start + len(self.name), self.device)
            arg = functions[function].args.args[place]
            if self.device in [a.arg for a in functions[function].args.args]:
                raise _refuse(f"{function}() takes the Accelerator and {self.device}", functions[function], "Take one.")
            start = self.edited.at(arg.lineno, arg.col_offset)
            self.edited.put(start, start + len(self.name), self.device)
        args = [n for n in ast.walk(tree) if isinstance(n, ast.arg) and n.arg == self.name]
        if len(args) != len(wanting):
            raise _refuse("a method or inner function takes the Accelerator", self.made, "Use the global one.")
        return out

    def _use(self, use: ast.Name) -> None:
        attribute = self.parents[use]
        if not isinstance(attribute, ast.Attribute):
            raise _refuse("the Accelerator is handed on", use, "Use its methods where the loop is.")
        call = self.parents[attribute]
        what, edited = attribute.attr, self.edited
        if not (isinstance(call, ast.Call) and call.func is attribute):
            self._property(what, attribute)
        elif what in RENAMED:
            if what == "save" and (len(call.args) != 2 or call.keywords):
                raise _refuse("accelerator.save() is given options", call, "Write torch.save(...).")
            if what == "print" and "print" in self.prepared.bound:
                raise _refuse(
                    "accelerator.print() is the builtin, and the script has a print of its own", call, "Rename it."
                )
            edited.replace(attribute, RENAMED[what])
        elif what == "backward" and call.args:
            self._backward(call)
        elif what in SAME and call.args and not isinstance(call.args[0], ast.Starred):
            edited.keep_only(call, call.args[0], *_brackets(call.args[0]))
        elif what == "get_state_dict" and len(call.args) == 1 and not call.keywords:
            edited.keep_only(call, call.args[0], after=".state_dict()")
        elif what == "gather_for_metrics" and len(call.args) == 1 and not call.keywords:
            if not rows(call, self.parents, self.prepared):
                raise _refuse(
                    "gather_for_metrics() cuts what it is given to the rows of the loader's last batch",
                    call,
                    "Hand it variables of the batch, or write the value without it: there is one process.",
                )
            edited.keep_only(call, call.args[0], *_brackets(call.args[0]))
        elif what in NOTHING and isinstance(self.parents[call], ast.Expr):
            edited.remove(self.parents[call], HERE)  # type: ignore[arg-type]
        elif what.startswith("prepare"):
            self._prepare(call)
        elif what == "accumulate" and isinstance(with_ := self._with(call), ast.With):
            self._accumulate(with_)
        else:
            raise _refuse(
                f"{self.name}.{what} has no counterpart in a plain loop", call, "Leave it out, or write it by hand."
            )

    def _with(self, call: ast.Call) -> ast.AST | None:
        item = self.parents[call]
        owner = self.parents.get(item)
        return owner if isinstance(owner, ast.With) and len(owner.items) == 1 else None

    def _property(self, what: str, node: ast.Attribute) -> None:
        holder = self.parents[node]
        if what == "device":
            if not (isinstance(holder, ast.Assign) and holder in self.edited.gone):
                self.edited.replace(node, self.device)
        elif what in TRUE or (what == "sync_gradients" and not self.steps):
            plain = isinstance(holder, ast.If) and holder.test is node and not holder.orelse
            if not (plain and self.edited.unwrap(holder, HERE)):  # type: ignore[arg-type]
                self.edited.replace(node, "True")
        elif what == "sync_gradients" and node in self.conditions:
            pass  # the condition is written
        elif what in ("num_processes", "process_index", "local_process_index"):
            self.edited.replace(node, str(int(what == "num_processes")))
        else:
            raise _refuse(f"{self.name}.{what} has no counterpart in a plain loop", node, "Leave it out.")

    def _backward(self, call: ast.Call) -> None:
        loss = call.args[0]
        rest = "".join(f"{k.arg}={self.edited.source(k.value)}" for k in call.keywords if k.arg)
        if len(call.args) > 1 or len(call.keywords) > 1 or any(k.arg is None for k in call.keywords):
            raise _refuse("backward() is given more than a loss", call, "Call loss.backward() instead.")
        simple = isinstance(loss, (ast.Name, ast.Attribute, ast.Call, ast.Subscript))
        if self.steps:
            before, after = ("(", "") if simple else ("((", ")")
            self.edited.keep_only(call, loss, before, f"{after} / {self.steps}).backward({rest})")
        else:
            before, after = ("", "") if simple else ("(", ")")
            self.edited.keep_only(call, loss, before, f"{after}.backward({rest})")

    def _prepare(self, call: ast.Call) -> None:
        stmt = self.parents[call]
        if not isinstance(stmt, ast.Assign) or len(stmt.targets) != 1 or call.keywords:
            raise _refuse(
                "prepare() is not a plain assignment", call, "Write model, optimizer = prepare(model, optimizer)."
            )
        target = stmt.targets[0]
        targets = target.elts if isinstance(target, ast.Tuple) else [target]
        pairs = list(zip(targets, call.args, strict=False))
        if len(targets) != len(call.args) or not all(isinstance(n, ast.Name) for pair in pairs for n in pair):
            raise _refuse("prepare() is not handed as many names as it gives", call, "Hand it plain names.")
        out: list[str] = []
        for new, old in pairs:
            assert isinstance(new, ast.Name) and isinstance(old, ast.Name)
            kind = self.prepared.kind(old)
            if kind is Kind.MODEL:
                out.append(f"{new.id} = {old.id}.to({self.device})")
            elif new.id != old.id:
                out.append(f"{new.id} = {old.id}")
        if {n.id for n, o in pairs if n.id != o.id} & {o.id for _, o in pairs}:  # type: ignore[attr-defined]
            raise _refuse("prepare() swaps names", call, "Keep each thing under its own name.")
        indent = "\n" + " " * stmt.col_offset
        if out:
            self.edited.replace(stmt, indent.join(out))
        else:
            self.edited.remove(stmt, HERE)

    def _accumulate(self, stmt: ast.With) -> None:
        if not self.steps:
            if not self.edited.unwrap(stmt, HERE):
                self.edited.replace(stmt.items[0].context_expr, "torch.enable_grad()")
                raise _refuse(
                    "a line of accumulate's block cannot be moved", stmt, "Put its comment and strings elsewhere."
                )
            return
        one = Accumulating(stmt, self.name, self.steps, self.edited, self.parents, self.prepared)
        one.write()
        self.conditions |= one.conditions

    def _imports(self) -> None:
        """The import of accelerate goes; torch is imported where nothing else does that."""
        imported = False
        for stmt in self.edited.tree.body:
            if isinstance(stmt, ast.Import):
                imported = imported or any(a.name == "torch" and a.asname is None for a in stmt.names)
        for stmt in walk_statements(self.edited.tree.body):
            if isinstance(stmt, ast.ImportFrom) and stmt.module in ("accelerate", "accelerate.accelerator"):
                left = [a for a in stmt.names if a.name != "Accelerator"]
                text = ", ".join(f"{a.name} as {a.asname}" if a.asname else a.name for a in left)
                torch = "" if imported else "import torch"
                if left:
                    self.edited.replace(stmt, f"from {stmt.module} import {text}" + (f"\n{torch}" if torch else ""))
                elif torch:
                    self.edited.replace(stmt, torch)
                else:
                    self.edited.remove(stmt, HERE)


def _is(value: ast.expr, what: object) -> bool:
    return isinstance(value, ast.Constant) and type(value.value) is type(what) and value.value == what


def _brackets(value: ast.expr) -> tuple[str, str]:
    plain = (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.Constant, ast.Tuple, ast.List, ast.Dict)
    return ("", "") if isinstance(value, plain) else ("(", ")")


def _refuse(why: str, node: ast.stmt | ast.expr, remedy: str) -> Refuse:
    return Refuse("TL502", f"{why[0].upper()}{why[1:]}, so this is no plain loop in one process.", node, remedy)

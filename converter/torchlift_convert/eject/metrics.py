"""Logged values in a plain loop: variables, sums over the batches, and one line on standard error."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.eject.layer import Layer
from torchlift_convert.eject.logs import Logged, logged_in
from torchlift_convert.eject.records import Function, receiver
from torchlift_convert.knowledge import QUIET_METHODS
from torchlift_convert.names import parameters
from torchlift_convert.program import dotted
from torchlift_convert.reserved import unique


@dataclass(eq=False)
class Metrics:
    """The values that somebody sees or that decide something; the others are dropped.

    ``variables``: by name, the variable that holds the value at the end. ``sums``: by stage, what is summed up over its
    batches: name -> (variable of the sum, of the count).
    """

    layer: Layer
    monitored: frozenset[str]
    logged: list[Logged] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    sums: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)
    counts: dict[tuple[str, str], str] = field(default_factory=dict)
    counted: set[tuple[str, str]] = field(default_factory=set)
    uncertain: set[str] = field(default_factory=set)
    objects: dict[str, list[Logged]] = field(default_factory=dict)  # by stage

    def settle(self) -> None:
        """Choose the variables, once the hooks' own names are settled."""
        layer = self.layer
        for hook in layer.laid:
            for one in logged_in(hook, layer.entry.module, layer.program):
                if one.is_object:
                    self._check_object(one)
                    self.objects.setdefault(stage_of(hook.name), []).append(one)
                if self.wants(one):
                    self.logged.append(one)
        for one in self.logged:
            if one.name in self.variables:
                if any(o.name == one.name and o.hook is not one.hook for o in self.logged):
                    raise Refuse(
                        "TL807", f"'{one.name}' is logged in two hooks.", one.stmt, "Give each value a name of its own."
                    )
                continue
            direct = self._direct(one)
            if direct is None:
                direct = unique(one.variable, layer.taken, prefer="mean" if one.mean else "last")
                layer.taken.add(direct)
            self.variables[one.name] = direct
            if not one.certain or self._may_be_left_out(one):
                self.uncertain.add(one.name)
            if one.mean and not one.is_object:
                self._summed(one, direct)

    def wants(self, one: Logged) -> bool:
        shows = self.layer.settings.shows
        return one.name in self.monitored or shows == "all" or (shows == "bar" and one.in_bar)

    def _may_be_left_out(self, one: Logged) -> bool:
        """Is there an epoch without the validation that logs a value?"""
        settings = self.layer.settings
        sometimes = settings.every_n_epochs is not None or settings.max_steps is not None
        return sometimes and "validation" in one.hook.name and self.layer.entry.kind == "fit"

    def _direct(self, one: Logged) -> str | None:
        """The variable that holds the value anyway, until the end of the epoch."""
        if self._may_be_left_out(one):
            return None
        if one.mean or one.is_object or one.name in self.monitored or not one.certain:
            return None
        code = self.layer.code(one.value, one.hook)
        if isinstance(one.value, ast.Name):
            names = self.layer.locals[one.hook]
            others = [n.values() for h, n in self.layer.locals.items() if h is not one.hook]
            if one.value.id in names and not any(code in other for other in others):
                return code
        if code in self.layer.free and code == one.variable:
            return code
        return None

    def _check_object(self, one: Logged) -> None:
        if one.name in self.monitored or not one.certain:
            raise Refuse(
                "TL807",
                f"'{one.name}' is a metric object that decides something, or is logged under a condition.",
                one.stmt,
                "Log it in every batch, and monitor a number.",
            )

    def _summed(self, one: Logged, variable: str) -> None:
        taken = self.layer.taken
        stage = stage_of(one.hook.name)
        total = unique(f"{one.variable}_sum", taken)
        taken.add(total)
        key = (stage, "" if one.certain and one.size is None else one.name)
        if key not in self.counts:
            self.counts[key] = unique(f"{one.variable}_count" if key[1] else f"{SHORT[stage]}_count", taken)
            taken.add(self.counts[key])
        self.sums.setdefault(stage, {})[one.name] = (total, self.counts[key])

    # -- lines ----------

    def lines(self, one: Logged, code: str) -> list[str]:
        """What stands for one call of ``self.log``."""
        if one.is_object:
            return []  # it counts by itself
        if not self.wants(one):
            return [code] if _matters(one) else []
        exact = one.name in self.monitored
        variable = self.variables[one.name]
        if not one.mean:
            if variable == code:
                return []
            return [f"{variable} = torch.as_tensor({code}).detach()" if exact else f"{variable} = float({code})"]
        stage = stage_of(one.hook.name)
        total, count = self.sums[stage][one.name]
        size = self.layer.own[f"size {stage}"] if one.size is None else f"({self.layer.code(one.size, one.hook)})"
        if exact:
            out = [f"{total} = {total} + torch.as_tensor({code}).detach() * {size}"]
        else:
            out = [f"{total} += float({code}) * {size}"]
        if (stage, count) not in self.counted or not one.certain:
            self.counted.add((stage, count))
            out.append(f"{count} += {size.strip('()') if one.size is not None else size}")
        return out

    def before(self, stage: str) -> list[str]:
        """In front of a stage's batches."""
        sums = self.sums.get(stage, {})
        names = list(dict.fromkeys([*(s for s, _ in sums.values()), *(c for _, c in sums.values())]))
        zeros = ["0.0" if any(n == s for s, _ in sums.values()) else "0" for n in names]
        return [f"{', '.join(names)} = {', '.join(zeros)}"] if names else []

    def after(self, stage: str) -> list[str]:
        """Behind a stage's batches."""
        out = []
        for name, (total, count) in self.sums.get(stage, {}).items():
            conditional = any(o.name == name and not o.certain for o in self.logged)
            mean = f'{total} / {count} if {count} else float("nan")' if conditional else f"{total} / {count}"
            out.append(f"{self.variables[name]} = {mean}")
        for one in self.objects.get(stage, []):
            if self.wants(one):
                code = f"{self.layer.code(one.value, one.hook)}.compute()"
                out.append(f"{self.variables[one.name]} = float({code})")
        return out

    def resets(self, stage: str) -> list[str]:
        """Metric objects begin anew, once the hooks behind a stage's batches have seen them."""
        codes = [self.layer.code(one.value, one.hook) for one in self.objects.get(stage, [])]
        return [f"{code}.reset()" for code in dict.fromkeys(codes)]

    def shown(self, names: list[str], head: str) -> list[str]:
        """The line on standard error that stands for bars, tables and loggers."""
        parts = [f"{n} {{{self.variables[n]}:.4f}}" for n in names]
        text = ", ".join(p for p in parts if '"' not in p and "\\" not in p)
        return [f'print(f"{head}{text}", file=sys.stderr)'] if text else []


def _matters(one: Logged) -> bool:
    """Does computing a value do more than that: a layer that draws, a metric that counts, a function of the script?"""
    for node in ast.walk(one.value):
        if isinstance(node, ast.Call):
            path = dotted(node.func) or ""
            builtin = path in ("float", "int", "len", "max", "min", "sum", "abs", "round")
            last = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            if not builtin and (last not in QUIET_METHODS or path.startswith(f"{receiver(one.hook)}.")):
                return True
    return False


SHORT = {"train": "train", "validation": "val", "test": "test", "predict": "predict"}


def stage_of(hook: str) -> str:
    return next((s for s in ("validation", "test", "predict") if s in hook), "train")


def size_of_batch(layer: Layer, stage: str, step: Function, target: ast.expr | None, batch: str) -> str:
    """The code of the number of samples in a batch: the length of the first tensor in it."""
    if target is not None:
        first = next(n for n in ast.walk(target) if isinstance(n, ast.Name))
        return f"len({layer.locals[step].get(first.id, first.id)})"
    uses = [n for n in ast.walk(step) if isinstance(n, ast.Subscript) and isinstance(n.value, ast.Name)]
    given = parameters(step.args)[1:2]
    keys = [n.slice for n in uses if n.value.id in given]  # type: ignore[attr-defined]
    if any(isinstance(k, ast.Constant) and isinstance(k.value, str) for k in keys):
        return f"len(next(iter({batch}.values())))"
    unpacks = [n for n in ast.walk(step) if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Tuple)]
    tuples = any(isinstance(n.value, ast.Name) and n.value.id in given for n in unpacks)
    return f"len({batch}[0])" if tuples or keys else f"len({batch})"

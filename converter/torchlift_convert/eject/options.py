"""What a Trainer's arguments ask for, as far as a plain loop can do it."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from torchlift_convert.diagnostics import Refuse
from torchlift_convert.eject.records import TrainerCall
from torchlift_convert.eject.words import lightning_name
from torchlift_convert.program import Program

# Arguments that change nothing that a user computes or prints, whatever their value.
SHOW_ONLY = frozenset(
    """
    benchmark enable_model_summary enable_progress_bar enable_checkpointing enable_autolog_hparams
    inference_mode log_every_n_steps logger use_distributed_sampler default_root_dir deterministic
    min_epochs
    """.split()
)
# Arguments that are the same as left out at these values.
DEFAULTS: dict[str, tuple[object, ...]] = {
    "strategy": ("auto", "single_device"),
    "devices": (1, "auto", "1"),
    "num_nodes": (1,),
    "precision": (None, 32, "32", "32-true"),
    "fast_dev_run": (False, 0),
    "overfit_batches": (0, 0.0),
    "val_check_interval": (None, 1.0),
    "sync_batchnorm": (False,),
    "reload_dataloaders_every_n_epochs": (0,),
    "plugins": (None,),
    "profiler": (None,),
    "detect_anomaly": (False,),
    "barebones": (False,),
    "max_time": (None,),
    "min_steps": (None,),
    "min_epochs": (None, 0, 1),
    "deterministic": (None, False),
    "benchmark": (None, False),
    "model_registry": (None,),
    "gradient_clip_algorithm": (None, "norm", "value"),
}
SCREEN_CALLBACKS = frozenset(
    """
    RichModelSummary ModelSummary TQDMProgressBar RichProgressBar ProgressBar LearningRateMonitor DeviceStatsMonitor
    """.split()
)


@dataclass(frozen=True, eq=False)
class Settings:
    """The arguments that have a place in a loop. Expressions stand as they were written; None: not given."""

    max_epochs: ast.expr | None
    max_steps: ast.expr | None
    accelerator: ast.expr | None
    clip: ast.expr | None
    clip_by_value: bool
    accumulate: ast.expr | None
    limits: dict[str, ast.expr]  # by stage: train, validation, test, predict
    every_n_epochs: ast.expr | None
    sanity: ast.expr | None
    shows: str  # which logged values were seen: 'all', 'bar', 'none'
    loses_files: bool  # a logger or checkpoints that the Trainer made by itself

    @property
    def is_cpu(self) -> bool:
        return isinstance(self.accelerator, ast.Constant) and self.accelerator.value == "cpu"


def constant(expr: ast.expr | None) -> object:
    """The value of a literal; ``...`` of anything else."""
    if expr is None:
        return None
    try:
        return ast.literal_eval(expr)
    except ValueError:
        return ...


def read(trainer: TrainerCall, program: Program) -> Settings:
    """The settings of one Trainer.

    Raises:
        Refuse: it asks for something that a plain loop does not have.
    """
    call = trainer.call
    if call.args or any(k.arg is None for k in call.keywords):
        raise Refuse(
            "TL802",
            "What this Trainer is asked for cannot be read: its arguments are packed into something else.",
            call,
            "Write the Trainer's arguments out by name.",
        )
    given = {k.arg: k.value for k in call.keywords if k.arg is not None}
    _check(given, program)
    logged = constant(given["logger"]) if "logger" in given else True
    if logged not in (True, False, None):
        raise Refuse(
            "TL804",
            f"The loop would have to write what '{ast.unparse(given['logger'])}' writes.",
            given["logger"],
            "Say logger=False, and write the values in a hook, with a SummaryWriter or print.",
        )
    bar = constant(given.get("enable_progress_bar")) is not False
    checkpoints = constant(given.get("enable_checkpointing")) is not False
    return Settings(
        max_epochs=_unless_none(given.get("max_epochs")),
        max_steps=None if constant(given.get("max_steps")) == -1 else _unless_none(given.get("max_steps")),
        accelerator=_unless_none(given.get("accelerator")),
        clip=_unless_none(given.get("gradient_clip_val")),
        clip_by_value=constant(given.get("gradient_clip_algorithm")) == "value",
        accumulate=None
        if constant(given.get("accumulate_grad_batches")) in (None, 1)
        else given["accumulate_grad_batches"],
        limits=_limits(given),
        every_n_epochs=None
        if constant(given.get("check_val_every_n_epoch", ast.Constant(1))) == 1
        else given["check_val_every_n_epoch"],
        sanity=given.get("num_sanity_val_steps"),
        shows="all" if logged is True else "bar" if bar else "none",
        loses_files=logged is True or checkpoints,
    )


def _unless_none(expr: ast.expr | None) -> ast.expr | None:
    return None if constant(expr) is None else expr


def _check(given: dict[str, ast.expr], program: Program) -> None:
    placed = {
        "max_epochs", "max_steps", "accelerator", "gradient_clip_val", "accumulate_grad_batches", "callbacks",
        "check_val_every_n_epoch", "num_sanity_val_steps", "limit_train_batches", "limit_val_batches",
        "limit_test_batches", "limit_predict_batches",
    }  # fmt: skip
    for name, expr in given.items():
        value = constant(expr)
        if name == "callbacks":
            _check_callbacks(expr, program)
        elif name in DEFAULTS:
            if not any(value is d or (type(value) is type(d) and value == d) for d in DEFAULTS[name]):
                raise _no_place(name, expr)
        elif name not in placed and name not in SHOW_ONLY:
            raise _no_place(name, expr)
    if constant(given.get("check_val_every_n_epoch", ast.Constant(1))) is None:
        raise _no_place("check_val_every_n_epoch", given["check_val_every_n_epoch"])
    epochs = constant(given.get("max_epochs"))
    if epochs == -1 and constant(given.get("max_steps")) in (None, -1):
        raise _no_place("max_epochs", given["max_epochs"])
    accelerator = given.get("accelerator")
    if accelerator is not None:
        for value in _values(accelerator):
            if value not in ("cpu", "gpu", "cuda", "auto", None):
                raise _no_place("accelerator", accelerator)


def _values(expr: ast.expr) -> list[object]:
    """The literals that an expression may be: both sides of a conditional one."""
    if isinstance(expr, ast.IfExp):
        return _values(expr.body) + _values(expr.orelse)
    return [constant(expr)]


def _no_place(name: str, expr: ast.expr) -> Refuse:
    return Refuse(
        "TL802",
        f"A plain loop has no place for Trainer({name}={ast.unparse(expr)}).",
        expr,
        "Leave this argument out, or keep the Trainer.",
    )


def _check_callbacks(expr: ast.expr, program: Program) -> None:
    if constant(expr) is None:
        return
    elements = expr.elts if isinstance(expr, (ast.List, ast.Tuple)) else [expr]
    for element in elements:
        name = lightning_name(element.func, program) if isinstance(element, ast.Call) else None
        if name not in SCREEN_CALLBACKS:
            raise Refuse(
                "TL804",
                f"The callback '{ast.unparse(element)}' does something that the loop would have to do.",
                element,
                "Do it in a hook of the module (on_validation_epoch_end, for instance), and leave the callback out.",
            )


def _limits(given: dict[str, ast.expr]) -> dict[str, ast.expr]:
    """The limits by stage, those that limit nothing left out."""
    found: dict[str, ast.expr] = {}
    for short, stage in (("train", "train"), ("val", "validation"), ("test", "test"), ("predict", "predict")):
        expr = given.get(f"limit_{short}_batches")
        if expr is None:
            continue
        values = _values(expr)
        if all(v is None or (type(v) is float and v == 1.0) for v in values):
            continue
        if stage == "validation" and values in ([0], [0.0]):
            continue  # no validation at all
        if any(not (v is None or (type(v) is int and v > 0)) for v in values):
            raise _no_place(f"limit_{short}_batches", expr)
        found[stage] = expr
    return found

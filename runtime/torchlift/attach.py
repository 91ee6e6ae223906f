"""Tie what an entry point was given to the trainer: loaders, data module, the module's callbacks, the checkpoint."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchlift.data import Source
from torchlift.defaults import order_callbacks
from torchlift.hooks import call_module
from torchlift.states import TrainerFn
from torchlift.utilities.cloud_io import entries, exists, modified
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import rank_zero_info, rank_zero_warn

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer


def attach_data(trainer: "Trainer", fn: TrainerFn, model: "LightningModule", data: dict[str, Any]) -> None:
    """Say for each loop where its loaders come from: what was passed, the data module, or the module.

    Raises:
        MisconfigurationException: both loaders and a data module were given.
    """
    from torchlift.datamodule import LightningDataModule

    datamodule = data.get("datamodule")
    loaders = {stage: given for stage, given in data.items() if stage != "datamodule" and given is not None}
    first = next(stage for stage in data)
    if isinstance(loaders.get(first), LightningDataModule):
        datamodule = loaders.pop(first)
    if loaders and datamodule is not None:
        names = "`train_dataloader` or `val_dataloaders`" if fn == TrainerFn.FITTING else "`dataloaders`"
        raise MisconfigurationException(
            f"You cannot pass {names} to `trainer.{fn.value}(datamodule=...)`: give one or the other."
        )
    if datamodule is not None and not isinstance(datamodule, LightningDataModule):
        raise MisconfigurationException(
            f"`trainer.{fn.value}(datamodule=...)` takes a `LightningDataModule`, got"
            f" `{type(datamodule).__qualname__}`."
        )
    loops: dict[str, list[Any]] = {
        "train": [trainer.fit_loop],
        "val": [trainer.fit_loop.val_loop, trainer.validate_loop],
        "test": [trainer.test_loop],
        "predict": [trainer.predict_loop],
    }
    for stage, states in loops.items():
        for state in states:
            state.combined = None
            state.source = Source(datamodule or loaders.get(stage, model), f"{stage}_dataloader")
    if datamodule is not None:
        trainer.datamodule = datamodule
        datamodule.trainer = trainer
    model.trainer = trainer


def attach_model_callbacks(trainer: "Trainer") -> None:
    """Add the callbacks of ``configure_callbacks``; they replace those of the Trainer that they derive from."""
    from torchlift.callback import Callback

    own = call_module(trainer, "configure_callbacks")
    if not own:
        return
    own = list(own) if isinstance(own, Sequence) else [own]
    replaced = {
        type(given)
        for given in trainer.callbacks
        for new in own
        if type(given) is not Callback and issubclass(type(new), type(given))
    }
    if replaced:
        rank_zero_info(
            "The following callbacks returned in `LightningModule.configure_callbacks` will override existing callbacks"
            f" passed to Trainer: {', '.join(sorted(kind.__name__ for kind in replaced))}"
        )
    kept = [callback for callback in trainer.callbacks if type(callback) not in replaced]
    trainer.callbacks = order_callbacks(kept + own)


def find_checkpoint(trainer: "Trainer", given: str | Path | None, model_given: bool) -> str | Path | None:
    """The path that ``ckpt_path`` means: ``"best"`` and ``"last"`` are those of the checkpoint callbacks.

    Raises:
        ValueError: there is no such checkpoint.
    """
    fn = trainer.state.fn.value if trainer.state.fn else ""
    if trainer._ckpt_path_is_users:
        if given is None:
            return trainer._ckpt_path
        rank_zero_warn(
            f"`trainer.ckpt_path = {trainer._ckpt_path!r}` was called but then you passed"
            f" `trainer.{fn}(ckpt_path={given!r})`. The latter will be loaded."
        )
        trainer._ckpt_path_is_users = False
    if given is None and trainer.fitting and any(one.resumes_fit for one in trainer.checkpoint_callbacks):
        given = "last"
        rank_zero_warn(
            f"`.{fn}(ckpt_path=None)` was called with an `OnExceptionCheckpoint`: what a run that failed has left will"
            f" be used. You can pass `.{fn}(ckpt_path='best')` to use the best model or `.{fn}(ckpt_path='last')` to"
            " use the last model. If you pass a value, this warning will be silenced."
        )
    if given is None:
        if model_given:
            return None
        given = "best"
        rank_zero_warn(
            f"`.{fn}(ckpt_path=None)` was called without a model. The best model of the previous `fit` call will be"
            f" used. You can pass `.{fn}(ckpt_path='best')` to use the best model or `.{fn}(ckpt_path='last')` to use"
            " the last model. If you pass a value, this warning will be silenced."
        )
    if given == "best":
        return _best(trainer, fn)
    if given == "last":
        return _last(trainer, fn)
    if given == "hpc":
        return _hpc(trainer, fn)
    if str(given).startswith("registry"):
        raise ValueError(
            f"`.{fn}(ckpt_path={given!r})` means a model registry of Lightning's cloud, which this runtime does not"
            " reach. Download the file and pass its path."
        )
    if not given:
        raise ValueError(
            f"`.{fn}()` found no path for the best weights: {given!r}. Please specify a path for a checkpoint"
            f" `.{fn}(ckpt_path=PATH)`"
        )
    return given


def _best(trainer: "Trainer", fn: str) -> str:
    callbacks = trainer.checkpoint_callbacks
    if not callbacks:
        raise ValueError(f'`.{fn}(ckpt_path="best")` is set but `ModelCheckpoint` is not configured.')
    if len(callbacks) > 1:
        rank_zero_warn(
            f'`.{fn}(ckpt_path="best")` is called with Trainer configured with multiple `ModelCheckpoint` callbacks. It'
            " will use the best checkpoint path from first checkpoint callback."
        )
    path: str = getattr(callbacks[0], "best_model_path", "")
    if path:
        return path
    if trainer.fast_dev_run:
        raise ValueError(
            f'You cannot execute `.{fn}(ckpt_path="best")` with `fast_dev_run=True`. Please pass an exact checkpoint'
            f" path to `.{fn}(ckpt_path=...)`"
        )
    raise ValueError(
        f'`.{fn}(ckpt_path="best")` is set but `ModelCheckpoint` is not configured to save the best model.'
    )


def _last(trainer: "Trainer", fn: str) -> str | None:
    candidates: set[str] = set()
    for callback in trainer.checkpoint_callbacks:
        find = getattr(callback, "_find_last_checkpoints", None)
        if find is not None:
            candidates |= {str(path) for path in find(trainer)}
    existing = [path for path in candidates if exists(path)]
    if not existing:
        rank_zero_warn(
            f'.{fn}(ckpt_path="last") is set, but there is no last checkpoint available. No checkpoint will be loaded.'
            " HINT: Set `ModelCheckpoint(..., save_last=True)`."
        )
        return None
    return max(existing, key=modified)


def _hpc(trainer: "Trainer", fn: str) -> str:
    """The latest of the checkpoints that a cluster's requeueing has left in the root folder."""
    folder = trainer.default_root_dir
    found = {name: re.fullmatch(r"hpc_ckpt_(\d+)\.ckpt", name) for name in entries(folder)}
    numbers = [int(match[1]) for match in found.values() if match]
    if not numbers:
        raise ValueError(
            f'`.{fn}(ckpt_path="hpc")` is set but no HPC checkpoint was found. Please pass an exact checkpoint path to'
            f" `.{fn}(ckpt_path=...)`"
        )
    return f"{folder}/hpc_ckpt_{max(numbers)}.ckpt"

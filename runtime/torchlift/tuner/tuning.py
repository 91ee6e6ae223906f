"""Tuner: search for a learning rate or a batch size before a run.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.tuner.tuning.Tuner.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from torchlift.utilities.exceptions import MisconfigurationException

if TYPE_CHECKING:
    from torchlift.datamodule import LightningDataModule
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer
    from torchlift.tuner.lr_finder import LRFinder

__all__ = ["Tuner"]

Method = Literal["fit", "validate", "test", "predict"]
_METHODS = ("fit", "validate", "test", "predict")


class Tuner:
    """Searches with the given Trainer, which is afterwards as it was before; so is the module, but for what was found.

    Args:
        trainer: runs the trials.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    def scale_batch_size(
        self,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        method: Method = "fit",
        mode: str = "power",
        steps_per_trial: int = 3,
        init_val: int = 2,
        max_trials: int = 25,
        batch_arg_name: str = "batch_size",
        margin: float = 0.05,
        max_val: int = 8192,
    ) -> int | None:
        """Find the largest batch size that fits into memory, and set it.

        Args:
            model: what is trained or evaluated.
            train_dataloaders: accepted for the error that says that a passed loader's batch size cannot be changed.
            val_dataloaders: likewise.
            dataloaders: likewise, for the other methods than fit.
            datamodule: makes the loaders; else the module does.
            method: the entry point to try.
            mode: ``"power"`` doubles until memory runs out; ``"binsearch"`` then also tries sizes in between.
            steps_per_trial: batches per size.
            init_val: the first size.
            max_trials: at most so many sizes (with ``"binsearch"``: so many that fit).
            batch_arg_name: the attribute of the module, its ``hparams`` or the data module that holds the size.
            margin: with ``"binsearch"``, take so large a share off in the end.
            max_val: never a larger size than this.

        Returns:
            The size; ``None`` with ``fast_dev_run``.

        Raises:
            ValueError: an unknown method or mode, several processes, or a Trainer that has a BatchSizeFinder.
            MisconfigurationException: loaders that do not go with the method, loaders passed as such, several
                evaluation loaders, or no such attribute.
            RuntimeError: not even a single sample fits.
        """
        _check_method(train_dataloaders, val_dataloaders, dataloaders, method)
        if self._trainer.world_size > 1:
            raise ValueError("Tuning the batch size is currently not supported with distributed strategies.")
        self._refuse_callback("BatchSizeFinder")
        from torchlift.callbacks import BatchSizeFinder

        finder = BatchSizeFinder(mode, steps_per_trial, init_val, max_trials, batch_arg_name, margin, max_val)
        given = (train_dataloaders, val_dataloaders) if method == "fit" else (dataloaders,)
        self._run(finder, method, model, given, datamodule)
        return finder.optimal_batch_size

    def lr_find(
        self,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        method: Method = "fit",
        min_lr: float = 1e-8,
        max_lr: float = 1,
        num_training: int = 100,
        mode: str = "exponential",
        early_stop_threshold: float | None = 4.0,
        update_attr: bool = True,
        attr_name: str = "",
        weights_only: bool | None = None,
    ) -> LRFinder | None:
        """Train with a rising learning rate and see at which one the loss falls fastest.

        Args:
            model: what is trained; it has one optimizer.
            train_dataloaders: as in ``Trainer.fit``.
            val_dataloaders: as in ``Trainer.fit``.
            dataloaders: not for fit.
            datamodule: as in ``Trainer.fit``.
            method: ``"fit"``.
            min_lr: the first rate.
            max_lr: the last rate.
            num_training: steps between them.
            mode: how the rate rises, ``"exponential"`` or ``"linear"``.
            early_stop_threshold: stop when the smoothed loss is so many times the best one; ``None`` never stops.
            update_attr: set the suggestion as the module's learning rate.
            attr_name: the attribute of the module or its ``hparams`` that holds it; ``lr`` and ``learning_rate`` are
                found by themselves.
            weights_only: accepted for compatibility; the state to go back to is kept in memory.

        Returns:
            The rates and losses, with ``suggestion()`` and ``plot()``; ``None`` with ``fast_dev_run``.

        Raises:
            ValueError: an unknown mode or method, or a Trainer that has a LearningRateFinder.
            MisconfigurationException: another method than fit, or not exactly one optimizer.
            AttributeError: ``update_attr`` and no such attribute.
        """
        if method != "fit":
            raise MisconfigurationException("method='fit' is the only valid configuration to run lr finder.")
        _check_method(train_dataloaders, val_dataloaders, dataloaders, method)
        self._refuse_callback("LearningRateFinder")
        from torchlift.callbacks import LearningRateFinder

        finder = LearningRateFinder(
            min_lr, max_lr, num_training, mode, early_stop_threshold, update_attr=update_attr, attr_name=attr_name
        )
        self._run(finder, method, model, (train_dataloaders, val_dataloaders), datamodule)
        return finder.optimal_lr

    def _refuse_callback(self, name: str) -> None:
        if self._trainer._of_kind(name):
            raise ValueError(
                f"Trainer is already configured with a `{name}` callback. Please remove it if you want to use the"
                " Tuner."
            )

    def _run(self, finder: Any, method: str, model: Any, loaders: tuple[Any, ...], datamodule: Any) -> None:
        """Call the entry point with the finder, which ends it when it is done."""
        trainer = self._trainer
        finder._early_exit = True
        trainer.callbacks = [finder, *trainer.callbacks]
        try:
            getattr(trainer, method)(model, *loaders, datamodule=datamodule)
        finally:
            trainer.callbacks = [callback for callback in trainer.callbacks if callback is not finder]


def _check_method(train: Any, val: Any, other: Any, method: str) -> None:
    if method not in _METHODS:
        raise ValueError(f"method {method!r} is invalid. Should be one of {_METHODS}.")
    if method == "fit" and other is not None:
        raise MisconfigurationException(
            f"In tuner with method={method!r}, `dataloaders` argument should be None, please consider setting"
            " `train_dataloaders` and `val_dataloaders` instead."
        )
    if method != "fit" and (train is not None or val is not None):
        raise MisconfigurationException(
            f"In tuner with `method`={method!r}, `train_dataloaders` and `val_dataloaders` arguments should be None,"
            " please consider setting `dataloaders` instead."
        )

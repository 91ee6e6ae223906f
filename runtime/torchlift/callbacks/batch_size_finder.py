"""Search for the largest batch size at the start of a run.

Reference: https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.BatchSizeFinder.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torchlift.callback import Callback
from torchlift.utilities.combined_loader import CombinedLoader
from torchlift.utilities.exceptions import MisconfigurationException, _TunerExitException
from torchlift.utilities.parsing import lightning_hasattr
from torchlift.utilities.rank_zero import rank_zero_warn
from torchlift.utilities.seed import isolate_rng

if TYPE_CHECKING:
    from torchlift.module import LightningModule
    from torchlift.trainer import Trainer

__all__ = ["BatchSizeFinder"]


class BatchSizeFinder(Callback):
    """Searches before the first batch, and goes on with the size that it found. See ``Tuner.scale_batch_size``.

    To search at other moments, override ``on_fit_start`` with nothing and call
    ``self.scale_batch_size(trainer, pl_module)`` there, for instance in ``on_train_epoch_start``.

    Args:
        mode: ``"power"`` doubles until memory runs out; ``"binsearch"`` then also tries sizes in between.
        steps_per_trial: batches per size.
        init_val: the first size.
        max_trials: at most so many sizes (with ``"binsearch"``: so many that fit).
        batch_arg_name: the attribute of the module, its ``hparams`` or the data module that holds the size.
        margin: with ``"binsearch"``, take so large a share off in the end; from 0 to below 1.
        max_val: never a larger size than this.

    Attributes:
        optimal_batch_size: what the last search found.

    Raises:
        ValueError: an unknown mode.
        MisconfigurationException: (at the start) loaders that were passed as such, several evaluation loaders,
            several processes, or no such attribute.
    """

    SUPPORTED_MODES = ("power", "binsearch")

    def __init__(
        self,
        mode: str = "power",
        steps_per_trial: int = 3,
        init_val: int = 2,
        max_trials: int = 25,
        batch_arg_name: str = "batch_size",
        margin: float = 0.05,
        max_val: int = 8192,
    ) -> None:
        mode = mode.lower()
        if mode not in self.SUPPORTED_MODES:
            raise ValueError(f"`mode` should be either of {self.SUPPORTED_MODES}")
        assert 0.0 <= margin < 1.0, f"`margin` should be between 0 and 1. Found {margin=}"
        self._mode, self._steps_per_trial, self._init_val, self._max_trials = (
            mode,
            steps_per_trial,
            init_val,
            max_trials,
        )
        self._batch_arg_name, self._margin, self._max_val = batch_arg_name, margin, max_val
        self._early_exit = False  # set by the Tuner: the run ends with the search
        self.optimal_batch_size: int | None = init_val

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str | None = None) -> None:
        if trainer.world_size > 1:
            raise MisconfigurationException("The Batch size finder is not supported with distributed strategies.")
        if not trainer._active_loop.source.is_module():
            raise MisconfigurationException(
                "The Batch size finder cannot be used with dataloaders passed directly to `.fit()`. Please disable the"
                " feature or incorporate the dataloader into your LightningModule or LightningDataModule."
            )
        if stage != "fit":
            _refuse_several_loaders(trainer)
        name = self._batch_arg_name
        if not lightning_hasattr(pl_module, name):
            raise MisconfigurationException(
                f"Field {name} not found in `model`, `datamodule`, nor their `hparams` attributes."
            )
        if hasattr(pl_module, name) and name in pl_module.hparams:
            rank_zero_warn(
                f"Field `model.{name}` and `model.hparams.{name}` are mutually exclusive! `model.{name}` will be used"
                " as the initial batch size for scaling. If this is not the intended behavior, please remove either"
                " one."
            )

    def scale_batch_size(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Search now; the random generators are left as they were."""
        from torchlift.tuner.batch_size_scaling import scale_batch_size

        with isolate_rng():
            self.optimal_batch_size = scale_batch_size(
                trainer,
                self._mode,
                self._steps_per_trial,
                self._init_val,
                self._max_trials,
                self._batch_arg_name,
                self._margin,
                self._max_val,
            )
        if self._early_exit:
            raise _TunerExitException

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.scale_batch_size(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.validating and not trainer.fitting:
            self.scale_batch_size(trainer, pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.scale_batch_size(trainer, pl_module)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.scale_batch_size(trainer, pl_module)


def _refuse_several_loaders(trainer: Trainer) -> None:
    assert trainer.state.stage is not None
    found = trainer._active_loop.source.dataloader()
    combined = found if isinstance(found, CombinedLoader) else CombinedLoader(found, "sequential")
    if len(combined.flattened) > 1:
        prefix = trainer.state.stage.dataloader_prefix
        raise MisconfigurationException(f"The Batch size finder cannot be used with multiple {prefix} dataloaders.")

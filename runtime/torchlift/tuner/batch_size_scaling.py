"""The largest batch size that fits into memory: try one, look whether memory runs out, try another."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from torchlift import evaluation
from torchlift.tuner.trial import attempt, trials
from torchlift.utilities.combined_loader import sized_len
from torchlift.utilities.memory import garbage_collection_cuda, is_oom_error
from torchlift.utilities.parsing import lightning_setattr
from torchlift.utilities.rank_zero import rank_zero_info, rank_zero_warn

if TYPE_CHECKING:
    from torchlift.trainer import Trainer

_LONGEST: dict[str, Callable[[list[int]], int]] = {
    "min_size": min,
    "max_size_cycle": max,
    "max_size": max,
    "sequential": sum,
}


def scale_batch_size(
    trainer: "Trainer",
    mode: str = "power",
    steps_per_trial: int = 3,
    init_val: int = 2,
    max_trials: int = 25,
    batch_arg_name: str = "batch_size",
    margin: float = 0.05,
    max_val: int = 8192,
) -> int | None:
    """Search within the run that is under way; see ``Tuner.scale_batch_size``. ``None`` with ``fast_dev_run``.

    Raises:
        RuntimeError: memory runs out even with one sample.
    """
    if trainer.fast_dev_run:
        rank_zero_warn("Skipping batch size scaler since `fast_dev_run` is enabled.")
        return None
    search = _Search(trainer, steps_per_trial, max_trials, batch_arg_name, max_val)
    with trials(trainer):
        search.limit()
        size = search.by_doubling(init_val) if mode == "power" else search.by_halving(init_val, margin)
        search.set(size)
        garbage_collection_cuda()
    if trainer.fitting and trainer.enable_validation:
        assert trainer._run is not None
        evaluation.setup_evaluation(trainer._run, trainer.fit_loop.val_loop)
    rank_zero_info(f"Finished batch size finder, will continue with full run using batch size {size}")
    return size


class _Search:
    """Trials of one batch size after the other."""

    def __init__(self, trainer: "Trainer", steps: int, max_trials: int, name: str, max_val: int) -> None:
        assert trainer._run is not None
        self.trainer, self.run = trainer, trainer._run
        self.steps, self.max_trials, self.name, self.max_val = steps, max_trials, name, max_val

    def limit(self) -> None:
        """A trial is a few steps; of training and, in it, of validation."""
        trainer = self.trainer
        assert trainer.state.stage is not None
        if trainer.fitting:
            trainer.limit_train_batches, trainer.limit_val_batches = 1.0, self.steps
        else:
            setattr(trainer, f"limit_{trainer.state.stage.dataloader_prefix}_batches", self.steps)

    def set(self, size: int) -> None:
        lightning_setattr(self.trainer.lightning_module, self.name, size)

    def fits(self, size: int) -> bool:
        """Whether a trial ends without running out of memory."""
        self.set(size)
        garbage_collection_cuda()
        try:
            attempt(self.trainer, self.run, self.steps)
        except RuntimeError as error:
            if not is_oom_error(error) or size == 1:
                raise
            return False
        return True

    def by_doubling(self, size: int) -> int:
        """Double the size until it does not fit; one that does not fit at the start is halved until it does."""
        size, any_fits = min(size, self.max_val), False
        for trial in range(self.max_trials):
            if self.fits(size):
                any_fits = True
                larger = self.grown(size, 2 * size) if trial + 1 < self.max_trials else size
                if larger == size:
                    break
                size = larger
            else:
                size = self.shrunk(size, size // 2)
                if any_fits:
                    break
        return size

    def by_halving(self, size: int, margin: float) -> int:
        """Double the size until it does not fit, then halve the distance between what fits and what does not."""
        size, low, high, found = min(size, self.max_val), 1, None, 0
        while True:
            if self.fits(size):
                low, found = size, found + 1
                if found >= self.max_trials or (high is not None and high - low <= 1):
                    break
                larger = self.grown(size, 2 * size if high is None else (high + low) // 2)
                if larger == size:
                    break
                size = larger
            else:
                high = size
                size = self.shrunk(size, (high + low) // 2)
                if high - low <= 1:
                    break
        return self.with_margin(size, margin)

    def grown(self, size: int, larger: int) -> int:
        """The next size after one that fits; the same when there is no point in a larger one."""
        length = self.dataset_length()
        if length is not None and size >= length:
            rank_zero_info(f"The batch size {size} is greater or equal than the length of your dataset: {length}.")
            return size
        if size >= self.max_val:
            rank_zero_info(f"Reached the maximum batch size limit of {self.max_val}. Stopping search.")
            return size
        larger = min(larger, self.max_val)
        rank_zero_info(f"Batch size {size} succeeded, trying batch size {larger}")
        return larger

    def shrunk(self, size: int, smaller: int) -> int:
        rank_zero_info(f"Batch size {size} failed, trying batch size {smaller}")
        return smaller

    def with_margin(self, size: int, margin: float) -> int:
        smaller = max(1, int(size * (1 - margin)))
        if smaller != size:
            rank_zero_info(f"Applying margin of {margin:.1%}, reducing batch size from {size} to {smaller}")
        return smaller

    def dataset_length(self) -> int | None:
        """The number of samples of the trial's loaders, as far as they know it."""
        combined = self.trainer._active_loop.combined
        datasets = [getattr(loader, "dataset", None) for loader in combined.flattened] if combined is not None else []
        lengths = [length for dataset in datasets if (length := sized_len(dataset)) is not None]
        if combined is None or not lengths:
            return None
        return _LONGEST[combined._mode](lengths)

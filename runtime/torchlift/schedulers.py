"""When learning-rate schedulers are stepped.

Those without a metric before ``on_train_batch_end`` and before validation (the epoch's ones on the epoch's last batch);
``ReduceLROnPlateau`` after validation, at the end of the epoch, when its metric is there.
"""

from typing import TYPE_CHECKING

from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import rank_zero_warn
from torchlift.utilities.types import LRSchedulerConfig

if TYPE_CHECKING:
    from torchlift.run import Run


class Schedulers:
    """The schedulers of automatic optimization, sorted by the moment of their step."""

    def __init__(self, run: "Run") -> None:
        configs = run.trainer.lr_scheduler_configs if run.automatic else []
        self._run = run
        self.any = bool(configs)
        self._by_step = [c for c in configs if c.interval == "step" and not c.reduce_on_plateau]
        self._by_epoch = [c for c in configs if c.interval == "epoch" and not c.reduce_on_plateau]
        self._plateau_by_step = [c for c in configs if c.interval == "step" and c.reduce_on_plateau]
        self._plateau_by_epoch = [c for c in configs if c.interval == "epoch" and c.reduce_on_plateau]

    def after_batch(self, batch_idx: int) -> None:
        """A batch was processed."""
        run = self._run
        if self._by_step and not run.fit.accumulates(run.trainer.accumulate_grad_batches):
            self._step(self._by_step, batch_idx)
        if self._by_epoch and run.fit.on_last_batch:
            self._step(self._by_epoch, run.trainer.current_epoch)

    def after_validation(self) -> None:
        """A batch is over, validation after it included, and the optimizer has stepped."""
        if self._plateau_by_step:
            self._step(self._plateau_by_step, self._run.fit.batch_idx)

    def after_epoch(self) -> None:
        """The epoch is over, ``on_train_epoch_end`` included."""
        if self._plateau_by_epoch:
            self._step(self._plateau_by_epoch, self._run.trainer.current_epoch)

    def _step(self, configs: list[LRSchedulerConfig], index: int) -> None:
        run = self._run
        for config in configs:
            if (index + 1) % config.frequency:
                continue
            metric = None
            if config.reduce_on_plateau:
                assert config.monitor is not None
                metric = run.trainer.callback_metrics.get(config.monitor)
                if metric is None:
                    _complain(config, list(run.trainer.callback_metrics))
                    continue
            if run.own_scheduler_step:
                outer, run.logged.fx = run.logged.fx, "lr_scheduler_step"
                run.own_scheduler_step(config.scheduler, metric)
                run.logged.fx = outer
            elif metric is None:
                config.scheduler.step()
            else:
                config.scheduler.step(metric)
            run.fit.scheduler_progress.total += 1


def _complain(config: LRSchedulerConfig, available: list[str]) -> None:
    if config.strict:
        raise MisconfigurationException(
            f"ReduceLROnPlateau conditioned on metric {config.monitor} which is not available. Available metrics are:"
            f" {available}. Condition can be set using `monitor` key in lr scheduler dict"
        )
    rank_zero_warn(
        f"ReduceLROnPlateau conditioned on metric {config.monitor} which is not available but strict is set to"
        " `False`. Skipping learning rate update.",
        category=RuntimeWarning,
    )

"""What ``self.log`` stores, and how it is reduced to the metrics of a step or an epoch.

Nothing here waits for the device: values stay tensors where they were made, and become numbers when somebody reads
them (a logger at its interval, a bar when it is drawn). Which value is current, reset or carried over follows Lightning
2.6 (``trainer/connectors/logger_connector``), seen from outside.
"""

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from torchlift.results import FLOATS, REDUCTIONS, Entry, Results, default_dtype
from torchlift.utilities.apply import tensors_to_scalars
from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import warn_once


class Logged:
    """The store behind ``self.log``, ``trainer.callback_metrics``, ``logged_metrics`` and ``progress_bar_metrics``."""

    def __init__(self) -> None:
        self.fx: str | None = None  # the hook that is running
        self.results: Results | None = None  # of the loop that is running
        self.first_batch: bool | None = None  # of the epoch: None before it, True during it, False after it
        self._last_fx: str | None = None  # the hook that logged last
        self.sent_early: set[str] = set()  # of the step or epoch that ends, before a checkpoint of it was saved
        self.restored_at: tuple[int, int] | None = None  # epoch and step of the checkpoint that is evaluated
        self.unread = False  # values of finished batches that have not gone into the three dicts yet
        self._callback: dict[str, Tensor] = {}
        self._logger: dict[str, Tensor] = {}
        self._prog_bar: dict[str, Tensor] = {}

    # -- what the loop tells ------------------------------------------------------------------------------------------

    def enter(self, results: Results | None) -> None:
        """Another loop takes over."""
        self._settle()
        self.results = results

    def batch_ended(self) -> None:
        """What the loops do in place, because a call at every step costs."""
        assert self.results is not None
        self.results.batch, self.results.batch_size, self.unread = None, None, True

    def epoch_end_reached(self) -> None:
        self._settle()
        self.first_batch = None

    def epoch_ended(self) -> None:
        """Take over the epoch's reductions, those logged in ``on_*_epoch_end`` included."""
        self._collect(on_step=False)
        self._last_fx = None

    def collect_epoch(self) -> None:
        """Take over the reductions of what was logged with one loader."""
        self._collect(on_step=False)

    def reset_results(self) -> None:
        if self.results is not None:
            self.results.reset()
        self.first_batch = self._last_fx = None

    def reset_metrics(self) -> None:
        self._callback, self._logger, self._prog_bar, self.unread = {}, {}, {}, False

    def to_cpu(self) -> None:
        """The run is over: hold nothing on a device any more."""
        self._settle()
        for metrics in (self._callback, self._logger, self._prog_bar):
            for name, value in metrics.items():
                metrics[name] = value.cpu() if isinstance(value, Tensor) else value  # callbacks send numbers

    # -- self.log -----------------------------------------------------------------------------------------------------

    def log(self, name: str, value: Any, how: tuple, batch_size: int | None) -> None:
        """Take in one value: a tensor without dimensions, which is copied, or a torchmetrics object.

        Args:
            name: as given to ``self.log``.
            value: the tensor or object.
            how: the arguments of ``self.log`` that may not change from step to step (see ``Entry``).
            batch_size: the weight in a mean; found in the batch by default.

        Raises:
            MisconfigurationException: outside of a hook, in a hook that may not log, or with other arguments than
                the last time under this name.
        """
        fx, results = self.fx, self.results
        if results is None or fx is None:
            raise _not_now(results)
        if self.unread and fx == "on_train_batch_start":
            self._settle()  # the batch may be left out, and then what it logged counts for nothing
        if self._last_fx != fx:
            if self.first_batch is not False:
                # A new epoch began: what this hook logged in the last one is over.
                self._settle()
                results.reset(fx)
            self._last_fx = fx
        call = (fx, name, how, results.dataloader_idx)
        entry = results.by_call.get(call)
        if entry is None:
            entry = results.by_call[call] = self._matching_entry(*call, value)
        if entry.metric is not None:
            entry.update_metric(value)
        elif entry.on_epoch:
            if batch_size is None:
                batch_size = results.size_of_batch() if entry.reduce == "mean" else 1
            entry.update(_copied(value, fx, name), batch_size)
        else:
            number = value.item() if value.is_cpu else None
            # On the CPU a number is a cheaper copy than a tensor is; it becomes one when it is read.
            entry.last = (number, value.dtype) if type(number) is float else _copied(value, fx, name)
            entry.is_reset = False

    def _matching_entry(self, fx: str, name: str, how: tuple, source: int | None, value: Any) -> Entry:
        given, add_dataloader_idx, results = how[4], how[6], self.results
        reduce_fx = given.lower() if isinstance(given, str) else given
        if reduce_fx not in REDUCTIONS:
            raise MisconfigurationException(
                "Only `self.log(..., reduce_fx={min,max,mean,sum})` are supported. If you need a custom reduction,"
                f" please log a `torchmetrics.Metric` instance instead. Found: {given}"
            )
        if add_dataloader_idx and "/dataloader_idx_" in name:
            raise MisconfigurationException(
                f"You called `self.log` with the key `{name}` but it should not contain information about"
                " `dataloader_idx` when `add_dataloader_idx=True`"
            )
        assert results is not None
        # Per loader, so that a reset of one loader's entries at its first batch leaves the others alone.
        full_fx = fx if source is None else f"{fx}.{source}"
        new = Entry(full_fx, name, REDUCTIONS[reduce_fx], how, source, None if isinstance(value, Tensor) else value)
        old = results.entries.setdefault((fx, name, source if add_dataloader_idx else None), new)
        if not old.asks_the_same(new):
            raise MisconfigurationException(
                f"You called `self.log({name}, ...)` twice in `{fx}` with different arguments. This is not allowed"
            )
        return old

    # -- what is read -------------------------------------------------------------------------------------------------

    @property
    def callback_metrics(self) -> dict[str, Tensor]:
        self._collect(on_step=self.first_batch is not None)
        return self._callback

    @property
    def logged_metrics(self) -> dict[str, Tensor]:
        self._collect(on_step=self.first_batch is not None)
        return self._logger

    @property
    def progress_bar_metrics(self) -> dict[str, Any]:
        """As numbers; reading it waits for the device."""
        self._collect(on_step=self.first_batch is not None)
        return tensors_to_scalars(self._prog_bar)

    def for_loggers(self) -> dict[str, Tensor]:
        """What is current for the loggers: of the step during an epoch, of the epoch at its end."""
        on_step = self.first_batch is not None
        metrics = {}
        for entry in self._current_entries():
            if entry.logger and (value := entry.current(on_step)) is not None:
                metrics[_forked_name(entry, on_step)] = value
        for name in self.sent_early:
            metrics.pop(name, None)
        return metrics

    def send(
        self, metrics: dict[str, Tensor], loggers: Iterable[Any], epoch: int, stepped: int, step: int | None = None
    ) -> None:
        """Hand metrics to the loggers, as numbers. A metric named ``step`` is the step, unless one is given."""
        if not loggers or not metrics:
            return
        self._logger.update(metrics)
        numbers = tensors_to_scalars(metrics)
        epoch, stepped = self.restored_at or (epoch, stepped)
        if step is None:
            step = numbers.pop("step", None)
            if step is None:
                numbers.setdefault("epoch", epoch)
                step = stepped
            else:
                step = int(step)
        for logger in loggers:
            logger.log_metrics(metrics=numbers, step=step)
            logger.save()

    def _current_entries(self) -> Iterable[Entry]:
        results = self.results
        if results is None:
            return ()
        source = results.dataloader_idx
        return [e for e in results.entries.values() if not e.is_reset and e.dataloader_idx == source]

    def _settle(self) -> None:
        """Do what was put off at the end of the last batches: let their values reach the three dicts."""
        if self.unread:
            self._collect(on_step=True)

    def _collect(self, on_step: bool) -> None:
        self.unread = False
        for entry in self._current_entries():
            value = entry.current(on_step)
            if value is None:
                continue
            name, forked = entry.name + entry.suffix, _forked_name(entry, on_step)
            if entry.logger:
                self._logger[forked] = value
            assert self.results is not None
            if self.results.training or (entry.on_epoch and not on_step):
                self._callback[name] = value
                self._callback[forked] = value
            if entry.prog_bar:
                self._prog_bar[forked] = value


def _forked_name(entry: Entry, on_step: bool) -> str:
    """The name; with ``_step`` or ``_epoch`` when it is logged at both levels."""
    if entry.on_step and entry.on_epoch:
        return f"{entry.name}{'_step' if on_step else '_epoch'}{entry.suffix}"
    return entry.name + entry.suffix


def _copied(value: Tensor, fx: str, name: str) -> Tensor:
    """A floating-point copy that nobody else holds, without the graph."""
    # Detached before it is copied, so that no autograd node is made for the copy.
    value = value.detach()
    if value.dtype in FLOATS:
        return value.clone()
    if not value.is_floating_point():
        warn_once(
            f"You called `self.log({name!r}, ...)` in your `{fx}` but the value needs to be floating to be reduced."
            f" Converting it to {default_dtype()}. You can silence this warning by converting the value to floating"
            " point yourself."
        )
    return value.to(default_dtype())


def _not_now(results: Results | None) -> MisconfigurationException:
    if results is None:
        return MisconfigurationException(
            "You are trying to `self.log()` but the loop's result collection is not registered yet: no loop that can"
            " log is running. `predict` hooks do not support logging."
        )
    return MisconfigurationException(
        "You are trying to `self.log()` but it is not managed by the `Trainer` control flow"
    )

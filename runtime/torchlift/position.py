"""Where a run stands, beyond the counters that Lightning saves: what it takes to go on as if nothing had happened.

It lies in a checkpoint under a key of its own, which Lightning passes over.
"""

from typing import TYPE_CHECKING, Any

from torchlift.logged_state import dump_logged, dump_metrics
from torchlift.progress import COMPLETED, PROCESSED, READY
from torchlift.states import TrainerFn
from torchlift.utilities.random_states import collect, to_plain

if TYPE_CHECKING:
    from torchlift.trainer import Trainer

KEY = "torchlift"

# The moments at which a checkpoint can be written.
BETWEEN = "between epochs"
EPOCH_START = "start of the epoch"  # in `on_train_epoch_start`
BATCH = "batch"  # it is done again
BATCH_END = "end of the batch"  # in `on_train_batch_end`; what follows the batch is still to come
VALIDATION = "validation"  # it is run again
VALIDATION_END = "end of the validation"  # in `on_validation_end`
AFTER_BATCH = "after the batch"  # and after what follows it
EPOCH_END = "end of the epoch"  # in `on_train_epoch_end`
INSIDE_EPOCH = (BATCH, BATCH_END, VALIDATION, VALIDATION_END, AFTER_BATCH)


def moment_of(trainer: "Trainer") -> str:
    """Which of the moments it is."""
    fit = trainer.fit_loop
    epoch, batch = fit.epoch_progress.phase, fit.batch_progress.phase
    if epoch == COMPLETED:
        return BETWEEN
    if epoch == READY:
        return EPOCH_START
    if epoch == PROCESSED:
        # With more steps allowed, an epoch that `max_steps` ended goes on.
        return AFTER_BATCH if fit.max_steps != -1 and not fit.on_last_batch else EPOCH_END
    if trainer.validating:
        return VALIDATION_END if trainer._logged.fx == "on_validation_end" else VALIDATION
    if batch == COMPLETED:
        return AFTER_BATCH
    return BATCH_END if batch == PROCESSED else BATCH


def dump(trainer: "Trainer") -> dict[str, Any] | None:
    """The position as plain data; ``None`` for a Trainer that has not trained."""
    fit, val, moment = trainer.fit_loop, trainer.fit_loop.val_loop, moment_of(trainer)
    if trainer.state.fn != TrainerFn.FITTING and not fit.epoch_progress.ready:
        return None
    loaders = fit.combined.flattened if fit.combined is not None else []
    position: dict[str, Any] = {
        "version": 1,
        "moment": moment,
        "cut_short": fit.epoch_progress.phase == PROCESSED and moment == AFTER_BATCH,
        "random": to_plain(collect(loaders)),
        "last_reload_epoch": fit.last_reload_epoch,
        "validation": {"batches_logged": dict(val.batches_logged), "last_reload_epoch": val.last_reload_epoch},
    }
    inside = moment in INSIDE_EPOCH
    if trainer.state.fn == TrainerFn.FITTING:
        position["logged"] = dump_logged(trainer._logged, fit.results)
        updates = val.before[-1] if moment == VALIDATION and val.before is not None else None
        position["metrics"] = dump_metrics(trainer.lightning_module, val.results, updates)
    if moment == BATCH and fit.before_batch is not None and trainer.state.fn == TrainerFn.FITTING:
        random, position["logged"]["entries"] = fit.before_batch
        position["random"] = to_plain(random)
    if inside or (moment != EPOCH_END and fit.epoch_progress.completed == 0):  # the first iterators are made early
        position["epoch_random"] = {name: to_plain(one) for name, one in fit.random_states.items()}
        position["counted_ahead"] = fit.counted_ahead
        restarts = getattr(getattr(fit.combined, "_iterator", None), "restarts", {})
        position["restarts"] = {i: (began, to_plain(states)) for i, (began, states) in restarts.items()}
    if moment == VALIDATION and val.before is not None:
        random, batches_logged, last_reload_epoch, _ = val.before
        position["validation"] = {
            "random": to_plain(random),
            "batches_logged": batches_logged,
            "last_reload_epoch": last_reload_epoch,
        }
    if gradients := _gradients(trainer, moment):
        position["gradients"] = gradients
    return position


def _gradients(trainer: "Trainer", moment: str) -> dict[str, Any]:
    """The gradients that wait for more batches, by the names of their parameters."""
    fit, every = trainer.fit_loop, trainer.accumulate_grad_batches
    if moment not in INSIDE_EPOCH:
        return {}
    if not trainer.lightning_module.automatic_optimization:
        waits = fit.gradients_wait
    else:
        waits = fit.batch_idx % every != 0 if moment == BATCH else fit.accumulates(every)
    if not waits:
        return {}
    return {name: one.grad for name, one in trainer.lightning_module.named_parameters() if one.grad is not None}

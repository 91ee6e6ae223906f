"""Who listens to a run, and which methods are the user's own: looked up once, and again when one of them changes."""

from torchlift.hooks import HookTable
from torchlift.profiling import action_of
from torchlift.run import Run, batch_step, make_transfer, own_method
from torchlift.step import choose_step


def follow_changes(run: Run) -> None:
    """Look again if a callback came or went, or a method was replaced, since the last look; else two comparisons."""
    if run.trainer._replaced or run.trainer.callbacks != run.listening:
        look_up(run)


def look_up(run: Run) -> None:
    """Who listens and which methods are the user's own: before the first epoch, and whenever one of them changed."""
    trainer, module = run.trainer, run.module
    trainer._replaced = False
    run.listening = list(trainer.callbacks)
    run.hooks = HookTable(trainer, module, run.logged)
    run.transfer = make_transfer(module, run.datamodule, run.precision, trainer.strategy)
    run.automatic = module.automatic_optimization
    run.own_optimizer_step = own_method(run, "optimizer_step")
    run.own_backward = own_method(run, "backward", action_of("Strategy", trainer.strategy, "backward"))
    run.own_zero_grad = own_method(run, "optimizer_zero_grad")
    run.own_clipping = own_method(run, "configure_gradient_clipping") or run.strategy_clipping
    run.own_scheduler_step = own_method(run, "lr_scheduler_step")
    run.training_step = batch_step(module, "training_step", run.precision)
    choose_step(run)

"""What is known of Lightning's names, the same in ``lightning``, ``pytorch_lightning`` and ``torchlift``."""

from __future__ import annotations

import ast

from torchlift_convert.program import Program, dotted
from torchlift_convert.reserved import RESERVED

FRAMEWORKS = frozenset({"lightning", "pytorch_lightning", "torchlift", "lightning_fabric"})

FIT_HOOKS = (
    "on_fit_start on_train_start on_train_epoch_start on_train_batch_start training_step on_before_zero_grad"
    " on_before_backward on_after_backward on_before_optimizer_step on_train_batch_end on_train_epoch_end on_train_end"
    " on_fit_end"
).split()
STAGE_HOOKS = ("start", "epoch_start", "batch_start", "batch_end", "epoch_end", "end")


def evaluation_hooks(stage: str) -> tuple[str, ...]:
    """The hooks of 'validation', 'test' or 'predict' in the order in which they run, the step in the middle."""
    before, after = STAGE_HOOKS[:3], STAGE_HOOKS[3:]
    return (*(f"on_{stage}_{m}" for m in before), f"{stage}_step", *(f"on_{stage}_{m}" for m in after))


LOOP_HOOKS = frozenset(
    [*FIT_HOOKS, *(h for s in ("validation", "test", "predict") for h in evaluation_hooks(s)), "configure_optimizers"]
)

# Hooks that change what a step does; a loop of plain calls has no place for them.
FOREIGN_HOOKS = frozenset(
    """
    backward configure_callbacks configure_gradient_clipping configure_model configure_sharded_model
    lr_scheduler_step on_after_batch_transfer on_before_batch_transfer on_load_checkpoint on_save_checkpoint
    on_test_model_eval on_test_model_train on_validation_model_eval on_validation_model_train
    on_predict_model_eval on_predict_model_train optimizer_step optimizer_zero_grad transfer_batch_to_device
    """.split()
)

# What a LightningModule has beyond torch.nn.Module.
MODULE_API = frozenset(
    """
    all_gather allow_zero_length_dataloader_with_multiple_devices automatic_optimization clip_gradients
    configure_callbacks current_epoch device dtype device_mesh example_input_array fabric freeze from_datasets
    global_rank global_step hparams hparams_initial load_from_checkpoint local_rank log log_dict logger loggers
    lr_schedulers manual_backward on_gpu optimizers print save_hyperparameters strict_loading toggle_optimizer
    toggled_optimizer to_onnx to_torchscript to_tensorrt trainer unfreeze untoggle_optimizer
    """.split()
)

# What an attribute of a torch.nn.Module must not be called.
MODULE_NAMES = RESERVED - MODULE_API

ENTRIES = ("fit", "validate", "test", "predict")
STAGE_OF = {"validate": "validation", "test": "test", "predict": "predict"}


def lightning_name(expr: ast.expr, program: Program) -> str | None:
    """``Trainer`` of ``L.Trainer``, ``EarlyStopping`` of ``callbacks.EarlyStopping``; None of anything else."""
    text = dotted(expr)
    if text is None:
        return None
    root, _, rest = text.partition(".")
    full = program.imports.get(root)
    if full is None or full.partition(".")[0] not in FRAMEWORKS:
        return None
    return f"{full}.{rest}".rstrip(".").rpartition(".")[2]


def self_path(expr: ast.expr, receiver: str) -> str | None:
    """``a.b`` of ``self.a.b``; None of anything else."""
    text = dotted(expr)
    return text.partition(".")[2] if text is not None and text.startswith(f"{receiver}.") else None

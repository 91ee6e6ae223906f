"""Names that an attribute of a LightningModule must not take, and how to step aside.

``RESERVED`` are the public names of LightningModule and of nn.Module: assigning some of them raises, the others are
silently shadowed. A test compares the table with both runtimes.
"""

from __future__ import annotations

import ast
from collections.abc import Collection

from torchlift_convert.kept import walk
from torchlift_convert.program import Program

_NAMES = """
    add_module all_gather allow_zero_length_dataloader_with_multiple_devices apply automatic_optimization backward
    bfloat16 buffers call_super_init CHECKPOINT_HYPER_PARAMS_KEY CHECKPOINT_HYPER_PARAMS_NAME
    CHECKPOINT_HYPER_PARAMS_TYPE children clip_gradients compile configure_callbacks configure_gradient_clipping
    configure_model configure_optimizers configure_sharded_model cpu cuda current_epoch device device_mesh double
    dtype dump_patches eval example_input_array extra_repr fabric float forward freeze get_buffer get_extra_state
    get_parameter get_submodule global_rank global_step half hparams hparams_initial ipu load_from_checkpoint
    load_state_dict local_rank log log_dict logger loggers lr_scheduler_step lr_schedulers manual_backward modules
    mtia named_buffers named_children named_modules named_parameters on_after_backward on_after_batch_transfer
    on_before_backward on_before_batch_transfer on_before_optimizer_step on_before_zero_grad on_fit_end
    on_fit_start on_gpu on_load_checkpoint on_predict_batch_end on_predict_batch_start on_predict_end
    on_predict_epoch_end on_predict_epoch_start on_predict_model_eval on_predict_model_train on_predict_start
    on_save_checkpoint on_test_batch_end on_test_batch_start on_test_end on_test_epoch_end on_test_epoch_start
    on_test_model_eval on_test_model_train on_test_start on_train_batch_end on_train_batch_start on_train_end
    on_train_epoch_end on_train_epoch_start on_train_start on_validation_batch_end on_validation_batch_start
    on_validation_end on_validation_epoch_end on_validation_epoch_start on_validation_model_eval
    on_validation_model_train on_validation_model_zero_grad on_validation_start optimizer_step optimizer_zero_grad
    optimizers parameters predict_dataloader predict_step prepare_data prepare_data_per_node print
    register_backward_hook
    register_buffer register_forward_hook register_forward_pre_hook register_full_backward_hook
    register_full_backward_pre_hook register_load_state_dict_post_hook register_load_state_dict_pre_hook
    register_module register_parameter register_state_dict_post_hook register_state_dict_pre_hook
    remove_ignored_hparams requires_grad_ save_hyperparameters set_extra_state set_submodule setup share_memory
    state_dict strategy strict_loading T_destination teardown test_dataloader test_step to to_empty to_onnx
    to_tensorrt to_torchscript toggle_optimizer toggled_optimizer train train_dataloader trainer training
    training_step transfer_batch_to_device type unfreeze untoggle_optimizer val_dataloader validation_step xpu
    zero_grad
"""
RESERVED: frozenset[str] = frozenset(_NAMES.split())

# The public names of LightningDataModule, of both runtimes.
DATA_RESERVED: frozenset[str] = frozenset(
    """
    allow_zero_length_dataloader_with_multiple_devices CHECKPOINT_HYPER_PARAMS_KEY CHECKPOINT_HYPER_PARAMS_NAME
    CHECKPOINT_HYPER_PARAMS_TYPE from_datasets hparams hparams_initial load_from_checkpoint load_state_dict name
    on_after_batch_transfer on_before_batch_transfer on_exception predict_dataloader prepare_data
    prepare_data_per_node remove_ignored_hparams save_hyperparameters setup state_dict teardown test_dataloader
    train_dataloader trainer transfer_batch_to_device val_dataloader
    """.split()
)


def plain_name(name: str) -> str:
    """The name itself; ``model`` for a model that calls itself ``self``, as the generated classes call themselves."""
    return "model" if name == "self" else name


def attribute_name(name: str) -> str:
    """The name itself, or one beside it when LightningModule has that name already."""
    name = plain_name(name)
    return f"{name}_" if name in RESERVED else name


def unique(name: str, taken: Collection[str], prefer: str = "") -> str:
    """The name, else with the preferred prefix, else numbered: the first that is free."""
    if name not in taken:
        return name
    if prefer and f"{prefer}_{name}" not in taken:
        return f"{prefer}_{name}"
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"


def ranked(name: str, rank: int) -> str:
    """The name for something of the first training (``rank`` 0) or of a later one of a script."""
    apart = "" if name[:1].isupper() else "_"
    return f"{name}{apart}{rank + 1}" if rank else name


def script_names(program: Program) -> set[str]:
    """Every name that the script uses."""
    names = {n.id for n in walk(program.script.tree) if isinstance(n, ast.Name)}
    return names | program.imports.keys() | program.module.classes.keys() | program.module.functions.keys()

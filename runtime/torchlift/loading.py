"""``load_from_checkpoint``: an object from the hyperparameters and the state that a checkpoint keeps."""

import ast
import csv
import inspect
from pathlib import Path
from typing import Any, TypeVar

import torch

from torchlift import checkpoint_io
from torchlift.checkpoint_errors import arguments_explained, check_contents, weights_explained
from torchlift.hooks import is_implemented
from torchlift.hparams import from_stored, init_parameter_names
from torchlift.module_hooks import ModelHooks
from torchlift.utilities.rank_zero import rank_zero_warn

_M = TypeVar("_M")

PAST_KEYS = ("hparams", "module_arguments")
"""Where Lightning kept hyperparameters before it settled on ``hyper_parameters``."""


def load_module(
    cls: type[_M],
    path: Any,
    map_location: Any,
    hparams_file: Any,
    strict: bool | None,
    weights_only: bool | None,
    given: dict[str, Any],
) -> _M:
    """See ``LightningModule.load_from_checkpoint``.

    Raises:
        ValueError: `strict` contradicts the module's ``strict_loading``.
        RuntimeError: the weights do not fit the module.
    """
    contents = _read(cls, path, map_location, hparams_file, weights_only)
    with arguments_explained(cls, path, has_hparams=cls.CHECKPOINT_HYPER_PARAMS_KEY in contents):  # type: ignore[attr-defined]
        module: Any = _make(cls, contents, given)
    if module._strict_loading is not None and strict is not None and strict != module.strict_loading:
        raise ValueError(
            f"You set `.load_from_checkpoint(..., strict={strict!r})` which is in conflict with"
            f" `{cls.__name__}.strict_loading={module.strict_loading!r}. Please set the same value for both of them."
        )
    strict = module.strict_loading if strict is None else strict
    if is_implemented("configure_model", module, ModelHooks):
        module.configure_model()
    module.on_load_checkpoint(contents)
    weights = contents["state_dict"]
    with weights_explained(path, "pass `strict=False`"):
        keys = module.load_state_dict(weights, strict=strict)
    if not strict:
        for names, what in ((keys.missing_keys, "in the model state dict but not in the checkpoint"),):
            if names:
                rank_zero_warn(f"Found keys that are {what}: {names}")
        if keys.unexpected_keys:
            rank_zero_warn(
                f"Found keys that are not in the model state dict but in the checkpoint: {keys.unexpected_keys}"
            )
    if not weights:
        rank_zero_warn(f"The state dict in {path!r} contains no parameters.")
        return module
    first = next((value for value in weights.values() if isinstance(value, torch.Tensor)), torch.tensor(0))
    return module.to(first.device)


def load_datamodule(
    cls: type[_M], path: Any, map_location: Any, hparams_file: Any, weights_only: bool | None, given: dict[str, Any]
) -> _M:
    """See ``LightningDataModule.load_from_checkpoint``."""
    contents = _read(cls, path, map_location, hparams_file, weights_only)
    datamodule: Any = _make(cls, contents, given)
    if cls.__qualname__ in contents:
        datamodule.load_state_dict(contents[cls.__qualname__])
    return datamodule


def _read(cls: Any, path: Any, map_location: Any, hparams_file: Any, weights_only: bool | None) -> dict[str, Any]:
    contents = checkpoint_io.load(path, map_location or _where_it_can_be, weights_only)
    check_contents(contents, path)
    if hparams_file is not None:
        contents[cls.CHECKPOINT_HYPER_PARAMS_KEY] = _hparams_from_file(Path(hparams_file))
    return contents


def _where_it_can_be(storage: Any, location: str) -> Any:
    """Tensors of a device that this machine does not have come to the CPU."""
    absent = (location.startswith("cuda") and not torch.cuda.is_available()) or (
        location.startswith("mps") and not torch.backends.mps.is_available()
    )
    return storage.cpu() if absent else None


def _make(cls: type, contents: dict[str, Any], given: dict[str, Any]) -> Any:
    """An instance, with the hyperparameters of the checkpoint and those `given` in their place."""
    names, takes_all = init_parameter_names(cls)
    kept = {**contents.get(cls.CHECKPOINT_HYPER_PARAMS_KEY, {}), **given}  # type: ignore[attr-defined]
    contents[cls.CHECKPOINT_HYPER_PARAMS_KEY] = kept  # type: ignore[attr-defined]
    whole = contents.get(cls.CHECKPOINT_HYPER_PARAMS_NAME)  # type: ignore[attr-defined]
    kind = contents.get(cls.CHECKPOINT_HYPER_PARAMS_TYPE)  # type: ignore[attr-defined]
    for old in PAST_KEYS:
        kept = {**contents.get(old, {}), **kept}
    # `save_hyperparameters(args)` keeps the contents of one argument; it goes back in as that argument.
    arguments = {whole: from_stored(kept, kind)} if whole in names else dict(kept)
    arguments.update(given)
    if not takes_all and inspect.isfunction(cls.__init__):  # type: ignore[misc]
        arguments = {name: value for name, value in arguments.items() if name in names}
    return cls(**arguments)


def _hparams_from_file(path: Path) -> dict[str, Any]:
    """Hyperparameters from a ``.yaml`` file, or a ``.csv`` file with columns ``key`` and ``value``.

    Raises:
        ValueError: another kind of file.
    """
    if path.suffix.lower() == ".csv":
        with path.open(newline="") as file:
            return {row["key"]: _literal(row["value"]) for row in csv.DictReader(file)}
    if path.suffix.lower() in (".yml", ".yaml"):
        import yaml

        return yaml.safe_load(path.read_text()) or {}
    raise ValueError(".csv, .yml or .yaml is required for `hparams_file`")


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text

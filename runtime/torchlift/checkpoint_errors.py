"""What is wrong with a checkpoint, in sentences that say what to do."""

import contextlib
from collections.abc import Iterator
from typing import Any

from torchlift.utilities.exceptions import PossibleUserWarning
from torchlift.utilities.rank_zero import rank_zero_warn

LIGHTNING_VERSION = "2.6.6"
"""The version of Lightning whose checkpoints these are; it decides which migrations Lightning applies on loading."""


def check_contents(contents: Any, source: Any) -> None:
    """Whether what was read from `source` is a checkpoint; a warning where a newer Lightning wrote it.

    Raises:
        ValueError: it is something else, such as weights alone.
    """
    if not isinstance(contents, dict) or "state_dict" not in contents:
        if not isinstance(contents, dict):
            found = f"It holds an object of type `{type(contents).__name__}`."
        elif all(hasattr(value, "shape") for value in contents.values()):
            found = "It holds weights alone: load them with `module.load_state_dict(torch.load(path))`."
        else:
            found = f"Its keys are: {', '.join(map(str, list(contents)[:8]))}."
        raise ValueError(f"The file {source} is not a checkpoint of a Trainer: it has no key 'state_dict'. {found}")
    warn_if_newer(str(contents.get("pytorch-lightning_version", "")))


def warn_if_newer(version: str) -> bool:
    """Whether a checkpoint of this version is newer than what this runtime knows."""
    if release(version) <= release(LIGHTNING_VERSION):
        return False
    rank_zero_warn(
        f"The loaded checkpoint was produced with Lightning v{version}, which is newer than your current Lightning"
        f" version: v{LIGHTNING_VERSION}",
        category=PossibleUserWarning,
    )
    return True


def release(version: str) -> tuple[int, ...]:
    """The release as numbers, ``"2.2.0.post0"`` as (2, 2, 0)."""
    numbers = []
    for part in version.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


@contextlib.contextmanager
def weights_explained(source: Any, way_out: str) -> Iterator[None]:
    """Weights that do not fit are named by torch; what can be done is added."""
    try:
        yield
    except RuntimeError as error:
        if "Missing key" in str(error) or "Unexpected key" in str(error):
            error.add_note(
                f"The checkpoint {source} was written with another model. To take over the weights whose names fit and"
                f" leave the others as they are, {way_out}."
            )
        raise


@contextlib.contextmanager
def arguments_explained(cls: type, source: Any, has_hparams: bool) -> Iterator[None]:
    """A class that cannot be made, because the checkpoint does not say with which arguments."""
    try:
        yield
    except TypeError as error:
        if not has_hparams:
            error.add_note(
                f"The checkpoint {source} holds no hyperparameters: `self.save_hyperparameters()` was not called in"
                f" `{cls.__name__}.__init__`. Give the arguments yourself: `{cls.__name__}.load_from_checkpoint(path,"
                " name=value, ...)`."
            )
        raise


def check_optimizers(source: Any, saved: int, present: int) -> None:
    """Each optimizer needs its own state; a checkpoint with none at all is taken, with a warning.

    Raises:
        ValueError: there are more or fewer optimizers than states.
    """
    if present and not saved:
        rank_zero_warn(f"The checkpoint {source} holds no optimizer states: the optimizers begin anew.")
    elif saved != present:
        raise ValueError(
            f"The checkpoint {source} holds the states of {saved} optimizers, and `configure_optimizers` gives"
            f" {present}. To begin with new optimizers, load the weights alone: `load_from_checkpoint`, and then"
            " `fit` without `ckpt_path`."
        )

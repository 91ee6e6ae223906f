"""The states of the random generators in the form in which a checkpoint holds them: tensors and plain numbers.

``torch.load(weights_only=True)`` refuses the arrays in numpy's state, and 625 Python integers are slow to read.
"""

import sys
from collections.abc import Iterable
from typing import Any

import torch

from torchlift.utilities.seed import collect_rng_states, set_rng_states

States = dict[str, Any]
"""As ``collect_rng_states`` gives them, and under ``"loaders"`` those of the generators that loaders hold."""


def collect(loaders: Iterable[Any], include_cuda: bool = True) -> States:
    """The states of the global generators and of those that `loaders` draw from."""
    states = collect_rng_states(include_cuda)
    if own := [generator.get_state() for generator in generators_of(loaders)]:
        states["loaders"] = own
    return states


def restore(states: States, loaders: Iterable[Any]) -> None:
    """Undo all draws since `states` was collected, perhaps in another process.

    A generator that is not here (another number of GPUs, loaders without a generator) is left out.
    """
    states = dict(states)
    if (devices := states.pop("torch.cuda", None)) and torch.cuda.is_available():
        for index, state in enumerate(devices[: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(state, index)
    if "numpy" in states and "numpy" not in sys.modules:
        import numpy  # noqa: F401  whoever drew from it will draw again
    own = states.pop("loaders", [])
    set_rng_states(states)
    for generator, state in zip(generators_of(loaders), own):
        generator.set_state(state)


def generators_of(loaders: Iterable[Any]) -> list[torch.Generator]:
    """The generators of `loaders` and of their samplers, each once."""
    found: dict[int, torch.Generator] = {}
    for loader in loaders:
        batch_sampler = getattr(loader, "batch_sampler", None)
        for holder in (
            loader,
            getattr(loader, "sampler", None),
            batch_sampler,
            getattr(batch_sampler, "sampler", None),
        ):
            generator = getattr(holder, "generator", None)
            if isinstance(generator, torch.Generator):
                found[id(generator)] = generator
    return list(found.values())


def to_plain(states: States) -> States:
    """`states` for a checkpoint."""
    plain = dict(states)
    version, internal, gauss = states["python"]
    plain["python"] = {"version": version, "state": torch.tensor(internal), "gauss_next": gauss}
    if (legacy := plain.pop("numpy", None)) and isinstance(legacy, tuple):
        algorithm, keys, position, has_gauss, gauss = legacy
        plain["numpy"] = {
            "algorithm": algorithm,
            "keys": torch.tensor(keys.tolist()),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "cached_gaussian": float(gauss),
        }
    return plain


def from_plain(plain: States) -> States:
    """What :func:`to_plain` was given."""
    states, python, numpy = dict(plain), plain["python"], plain.get("numpy")
    states["python"] = (python["version"], tuple(python["state"].tolist()), python["gauss_next"])
    if numpy is not None:
        keys = numpy["keys"].tolist()
        states["numpy"] = (numpy["algorithm"], keys, numpy["position"], numpy["has_gauss"], numpy["cached_gaussian"])
    return states

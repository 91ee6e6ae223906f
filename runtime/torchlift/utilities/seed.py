"""Seeding the global random generators, and leaving them alone."""

import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from torchlift.utilities.rank_zero import rank_zero_info, rank_zero_only, rank_zero_warn

MAX_SEED = 2**32 - 1
"""The largest seed that numpy accepts."""


def seed_everything(seed: int | None = None, workers: bool = False, verbose: bool = True) -> int:
    """Seed Python's, numpy's and torch's global generators, and remember the seed in the environment.

    Args:
        seed: 0 to 2**32 - 1; ``None`` takes ``PL_GLOBAL_SEED``, or 0.
        workers: also give every loader's worker its own derived seed.
        verbose: say the seed on standard error.

    Returns:
        The seed in use.

    Raises:
        ValueError: the seed is out of range or not a number.
    """
    if seed is None:
        text = os.environ.get("PL_GLOBAL_SEED")
        if text is None and verbose:
            rank_zero_warn("No seed found, seed set to 0")
        try:
            seed = int(text or 0)
        except ValueError:
            raise ValueError(f"Invalid seed specified via PL_GLOBAL_SEED: {text!r}") from None
    seed = int(seed)
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"{seed} is not in bounds, numpy accepts from 0 to {MAX_SEED}")
    if verbose:
        rank_zero_info(f"Seed set to {seed}")
    os.environ["PL_GLOBAL_SEED"] = str(seed)
    os.environ["PL_SEED_WORKERS"] = str(int(workers))
    random.seed(seed)
    if numpy := _numpy():
        numpy.random.seed(seed)
    torch.manual_seed(seed)
    return seed


def _numpy() -> Any:
    """numpy, which torch works without; imported because its global generator is seeded with the others."""
    try:
        import numpy
    except ImportError:
        return None
    return numpy


@contextmanager
def isolate_rng(include_cuda: bool = True) -> Iterator[None]:
    """Put the global random states back on leaving, whatever is drawn inside. As in Lightning, not after an error."""
    states = collect_rng_states(include_cuda)
    yield
    set_rng_states(states)


def collect_rng_states(include_cuda: bool = True) -> dict[str, Any]:
    """The states of all global generators. numpy's only where something imported it: else nobody can have drawn."""
    states: dict[str, Any] = {"torch": torch.get_rng_state(), "python": random.getstate()}
    if "numpy" in sys.modules:
        states["numpy"] = sys.modules["numpy"].random.get_state()
    if include_cuda:
        states["torch.cuda"] = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return states


def set_rng_states(states: dict[str, Any]) -> None:
    """Undo all draws since `states` was collected."""
    torch.set_rng_state(states["torch"])
    random.setstate(states["python"])
    if "numpy" in states:
        sys.modules["numpy"].random.set_state(states["numpy"])
    if states.get("torch.cuda"):
        torch.cuda.set_rng_state_all(states["torch.cuda"])


def worker_init_function(worker_id: int, rank: int | None = None) -> None:
    """Seed one loader worker's generators from the loader's base seed, its own number and the process's rank.

    The derivation is Lightning's (a MurmurHash3 finaliser, then a linear congruential generator), so that
    ``seed_everything(workers=True)`` gives the same batches on both runtimes.
    """
    rank = rank if rank is not None else getattr(rank_zero_only, "rank", 0)
    base_seed = torch.initial_seed() - worker_id
    first, high, low, _ = _derived_seeds(base_seed, worker_id, rank, count=4)
    torch.manual_seed(first)
    random.seed((high << 32) | low)
    if numpy := _numpy():
        numpy.random.seed(numpy.random.SeedSequence([base_seed, worker_id, rank]).generate_state(4))


def _derived_seeds(base_seed: int, worker_id: int, rank: int, count: int) -> list[int]:
    mask = (1 << 64) - 1
    state = (base_seed << 32) | (worker_id << 16) | rank
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        state ^= state >> 33
        state = (state * factor) & mask
    state ^= state >> 33
    seeds = []
    for _ in range(count):
        state = (state * 6364136223846793005 + 1) & mask
        seeds.append(state)
    return seeds

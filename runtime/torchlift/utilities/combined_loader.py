"""Several iterables as one, in the four ways that Lightning knows."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from torch.utils._pytree import SUPPORTED_NODES, TreeSpec, _get_node_type, tree_unflatten, treespec_leaf

from torchlift.utilities.random_states import collect
from torchlift.utilities.types import Stateful

Mode = Literal["min_size", "max_size_cycle", "max_size", "sequential"]
Limits = list[int | float] | None
Drawn = tuple[Any, int, int]
"""A batch (one per iterable, unless sequential), its index, and the index of the iterable it came from."""


def sized_len(iterable: object) -> int | None:
    """``len(iterable)``, or ``None`` for what has no (finite) length."""
    try:
        return len(iterable)  # type: ignore[arg-type]
    except (TypeError, NotImplementedError):
        return None


def flatten(tree: Any) -> tuple[list[Any], TreeSpec]:
    """Flatten nested collections, but leave a collection of plain numbers or strings in one piece.

    ``[1, 2, 3]`` is a loader that yields numbers; ``[loader, loader]`` is two loaders.
    """
    kind = _get_node_type(tree)
    if kind not in SUPPORTED_NODES:
        return [tree], treespec_leaf()
    children, context = SUPPORTED_NODES[kind].flatten_fn(tree)
    if all(isinstance(child, (int, float, str)) for child in children):
        return [tree], treespec_leaf()
    leaves: list[Any] = []
    specs = []
    for child in children:
        flat, spec = flatten(child)
        leaves += flat
        specs.append(spec)
    return leaves, TreeSpec(kind, context, specs)


def _lengths(iterables: list[Iterable], limits: Limits) -> list[int | float]:
    sizes = [sized_len(iterable) for iterable in iterables]
    lengths = [float("inf") if size is None else size for size in sizes]
    return lengths if limits is None else [min(length, limit) for length, limit in zip(lengths, limits)]


class ModeIterator:
    """One pass over several iterables; each mode draws from them in its own way.

    Attributes:
        total: the number of batches of a pass, from those of each iterable.

    Raises:
        ValueError: there are not as many limits as iterables.
    """

    total: Any  # a built-in function, which stays one as an attribute

    def __init__(self, iterables: list[Iterable], limits: Limits = None) -> None:
        if limits is not None and len(limits) != len(iterables):
            raise ValueError(f"Mismatch in number of limits ({len(limits)}) and number of iterables ({len(iterables)})")
        self.iterables, self.limits = iterables, limits
        self.iterators: list[Iterator[Any]] = []
        self._idx = 0

    def __iter__(self) -> "ModeIterator":
        self.iterators = [iter(iterable) for iterable in self.iterables]
        self._idx = 0
        return self

    def __next__(self) -> Drawn:
        row = self._row()
        self._idx += 1
        return row, self._idx - 1, 0

    def _row(self) -> list[Any]:
        """One batch of each iterable."""
        raise NotImplementedError

    def __len__(self) -> int:
        total: int = type(self).total(_lengths(self.iterables, self.limits))
        return total

    def reset(self) -> None:
        self.iterators, self._idx = [], 0

    def __getstate__(self) -> dict[str, Any]:
        # A pass over a DataLoader cannot be pickled, nor gone on with elsewhere.
        loaders = [type(one).__module__.startswith("torch.utils.data") for one in self.iterators]
        kept = [None if is_loader else one for is_loader, one in zip(loaders, self.iterators)]
        return {**self.__dict__, "iterators": kept}


class MinSize(ModeIterator):
    """Until the first one is done."""

    total = min

    def _row(self) -> list[Any]:
        return [next(iterator) for iterator in self.iterators]


class MaxSizeCycle(ModeIterator):
    """Until the longest one is done; the others begin again."""

    total = max

    def __iter__(self) -> "ModeIterator":
        super().__iter__()
        self._consumed = [False] * len(self.iterables)
        self.restarts: dict[int, tuple[int, dict[str, Any]]] = {}  # of each one the last: batch index, random states
        return self

    def _row(self) -> list[Any]:
        row = []
        for i, iterable in enumerate(self.iterables):
            try:
                row.append(next(self.iterators[i]))
            except StopIteration:
                self._consumed[i] = True
                if all(self._consumed):
                    raise
                self.restarts[i] = (self._idx, collect(self.iterables, include_cuda=False))
                self.iterators[i] = iter(iterable)
                row.append(next(self.iterators[i]))  # an empty one cannot be cycled and ends the pass
        return row


class MaxSize(ModeIterator):
    """Until the longest one is done; the others give ``None`` from then on."""

    total = max

    def _row(self) -> list[Any]:
        row: list[Any] = [None] * len(self.iterators)
        exhausted = True
        for i, iterator in enumerate(self.iterators):
            with contextlib.suppress(StopIteration):
                row[i] = next(iterator)
                exhausted = False
        if exhausted:
            raise StopIteration
        return row


class Sequential(ModeIterator):
    """One after the other. Each one's iterator is made when its turn comes, because making one draws a seed."""

    total = sum

    def __iter__(self) -> "ModeIterator":
        self._turn_to(0)
        return self

    def _turn_to(self, source: int) -> None:
        self._source, self._idx = source, 0
        self.iterators = [iter(self.iterables[source])] if source < len(self.iterables) else []

    def __next__(self) -> Drawn:
        while self._source < len(self.iterables):
            if self.limits is None or self._idx < self.limits[self._source]:
                try:
                    batch = next(self.iterators[0])
                except StopIteration:
                    pass
                else:
                    self._idx += 1
                    return batch, self._idx - 1, self._source
            self._turn_to(self._source + 1)
        raise StopIteration

    def reset(self) -> None:
        super().reset()
        self._source = 0


MODES: dict[str, type[ModeIterator]] = {
    "min_size": MinSize,
    "max_size_cycle": MaxSizeCycle,
    "max_size": MaxSize,
    "sequential": Sequential,
}


class CombinedLoader(Iterable):
    """Combine iterables under one sampling mode; iterating gives ``(batch, batch_idx, dataloader_idx)``.

    Args:
        iterables: an iterable, or any nesting of lists, tuples and dicts of iterables; batches have the same nesting.
        mode: ``min_size`` stops with the shortest; ``max_size_cycle`` stops with the longest and starts the others
            again; ``max_size`` stops with the longest and gives ``None`` for the finished ones; ``sequential`` takes
            one iterable after the other.

    Raises:
        ValueError: the mode is none of the four.
    """

    def __init__(self, iterables: Any, mode: Mode = "min_size") -> None:
        if mode not in MODES:
            raise ValueError(f"Unsupported mode {mode!r}, please select one of: {list(MODES)}.")
        self._iterables = iterables
        self._flattened, self._spec = flatten(iterables)
        self._mode = mode
        self._iterator: ModeIterator | None = None
        self._limits: Limits = None

    @property
    def iterables(self) -> Any:
        """The iterables in the nesting they were given in."""
        return self._iterables

    @property
    def sampler(self) -> Any:
        """The samplers of the iterables, in the same nesting."""
        return tree_unflatten([getattr(one, "sampler", None) for one in self.flattened], self._spec)

    @property
    def batch_sampler(self) -> Any:
        """The batch samplers of the iterables, in the same nesting."""
        return tree_unflatten([getattr(one, "batch_sampler", None) for one in self.flattened], self._spec)

    @property
    def flattened(self) -> list[Any]:
        """The iterables as a flat list."""
        return self._flattened

    @flattened.setter
    def flattened(self, flattened: list[Any]) -> None:
        if len(flattened) != len(self._flattened):
            raise ValueError(
                f"Mismatch in flattened length ({len(flattened)}) and existing length ({len(self._flattened)})"
            )
        self._iterables = tree_unflatten(flattened, self._spec)
        self._flattened = flattened

    @property
    def limits(self) -> Limits:
        """At most so many batches of each iterable."""
        return self._limits

    @limits.setter
    def limits(self, limits: int | float | Limits) -> None:
        if isinstance(limits, (int, float)):
            limits = [limits] * len(self.flattened)
        elif isinstance(limits, list) and len(limits) != len(self.flattened):
            raise ValueError(
                f"Mismatch in number of limits ({len(limits)}) and number of iterables ({len(self.flattened)})"
            )
        self._limits = limits

    def __iter__(self) -> "CombinedLoader":
        self._iterator = MODES[self._mode](self.flattened, self._limits)
        iter(self._iterator)
        return self

    def __next__(self) -> Drawn:
        assert self._iterator is not None, "call iter() first"
        batch, index, source = next(self._iterator)
        if self._mode == "sequential":
            return batch, index, source
        return tree_unflatten(batch, self._spec), index, source

    def total(self) -> int | None:
        """The number of batches, or ``None`` when an iterable without length decides it."""
        total = MODES[self._mode].total(_lengths(self.flattened, self._limits))
        return None if total == float("inf") else int(total)

    def __len__(self) -> int:
        if self._iterator is None:
            raise RuntimeError("Please call `iter(combined_loader)` first.")
        total = self.total()
        if total is None:
            raise TypeError("an iterable without a length is among the combined ones")
        return total

    def reset(self) -> None:
        """Forget the iterators; loaders' workers end with them."""
        if self._iterator is not None:
            self._iterator.reset()
            self._iterator = None
        for iterable in self.flattened:
            if getattr(iterable, "_iterator", None) is not None:
                iterable._iterator = None

    def _dataset_length(self) -> int:
        """The number of samples, combined as the mode combines batches.

        Raises:
            NotImplementedError: no data set has a length.
        """
        lengths = [sized_len(getattr(loader, "dataset", None)) for loader in self.flattened]
        known = [length for length in lengths if length is not None]
        if not known:
            raise NotImplementedError("All datasets are iterable-style datasets.")
        return int(MODES[self._mode].total(known))

    def _stateful(self) -> list[Any]:
        return [one for one in self.flattened if isinstance(one, Stateful)]

    def _state_dicts(self) -> list[dict[str, Any]]:
        """The states of the loaders that have one, such as torchdata's ``StatefulDataLoader``."""
        return [loader.state_dict() for loader in self._stateful()]

    def _load_state_dicts(self, states: list[dict[str, Any]]) -> None:
        """Hand the loaders their states back.

        Raises:
            RuntimeError: there are not as many loaders as states.
        """
        loaders = self._stateful()
        if states and len(loaders) != len(states):
            raise RuntimeError(
                f"The CombinedLoader has {len(loaders)} stateful loaders, but found {len(states)} states in the"
                " checkpoint. Please make sure you define the same dataloaders that were used when saving the"
                " checkpoint."
            )
        for loader, state in zip(loaders, states):
            loader.load_state_dict(state)

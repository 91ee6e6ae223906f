"""Several iterables as one, in the four ways that Lightning knows."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

from torch.utils._pytree import SUPPORTED_NODES, TreeSpec, _get_node_type, tree_unflatten, treespec_leaf

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


def _numbered(rows: Iterator[list[Any]]) -> Iterator[Drawn]:
    for index, row in enumerate(rows):
        yield row, index, 0


def _min_size(iterables: list[Iterable]) -> Iterator[Drawn]:
    iterators = [iter(iterable) for iterable in iterables]

    def rows() -> Iterator[list[Any]]:
        while True:
            row = []
            for iterator in iterators:
                try:
                    row.append(next(iterator))
                except StopIteration:
                    return
            yield row

    return _numbered(rows())


def _max_size_cycle(iterables: list[Iterable]) -> Iterator[Drawn]:
    iterators = [iter(iterable) for iterable in iterables]

    def rows() -> Iterator[list[Any]]:
        consumed = [False] * len(iterators)
        while True:
            row = []
            for i, iterable in enumerate(iterables):
                try:
                    row.append(next(iterators[i]))
                except StopIteration:
                    consumed[i] = True
                    if all(consumed):
                        return
                    iterators[i] = iter(iterable)
                    try:
                        row.append(next(iterators[i]))
                    except StopIteration:  # an empty one cannot be cycled
                        return
            yield row

    return _numbered(rows())


def _max_size(iterables: list[Iterable]) -> Iterator[Drawn]:
    iterators = [iter(iterable) for iterable in iterables]

    def rows() -> Iterator[list[Any]]:
        while True:
            row: list[Any] = [None] * len(iterators)
            exhausted = True
            for i, iterator in enumerate(iterators):
                with contextlib.suppress(StopIteration):
                    row[i] = next(iterator)
                    exhausted = False
            if exhausted:
                return
            yield row

    return _numbered(rows())


def _sequential(iterables: list[Iterable], limits: Limits) -> Iterator[Drawn]:
    # Only the first iterator is made now; each other one when its turn comes (an iterator draws a seed when made).
    first = iter(iterables[0]) if iterables else None

    def drawn() -> Iterator[Drawn]:
        iterator = first
        for source, iterable in enumerate(iterables):
            if source > 0:
                iterator = iter(iterable)
            assert iterator is not None
            limit = float("inf") if limits is None else limits[source]
            index = 0
            while index < limit:
                try:
                    batch = next(iterator)
                except StopIteration:
                    break
                yield batch, index, source
                index += 1

    return drawn()


_TOTAL: dict[str, Callable[..., int | float]] = {
    "min_size": min,
    "max_size_cycle": max,
    "max_size": max,
    "sequential": sum,
}
_ITERATE = {"min_size": _min_size, "max_size_cycle": _max_size_cycle, "max_size": _max_size}


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
        if mode not in _TOTAL:
            raise ValueError(f"Unsupported mode {mode!r}, please select one of: {list(_TOTAL)}.")
        self._iterables = iterables
        self._flattened, self._spec = flatten(iterables)
        self._mode = mode
        self._iterator: Iterator[Drawn] | None = None
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
        if self._mode == "sequential":
            self._iterator = _sequential(self.flattened, self._limits)
        else:
            self._iterator = _ITERATE[self._mode](self.flattened)
        return self

    def __next__(self) -> Drawn:
        assert self._iterator is not None, "call iter() first"
        batch, index, source = next(self._iterator)
        if self._mode == "sequential":
            return batch, index, source
        return tree_unflatten(batch, self._spec), index, source

    def total(self) -> int | None:
        """The number of batches, or ``None`` when an iterable without length decides it."""
        total = _TOTAL[self._mode](_lengths(self.flattened, self._limits))
        return None if total == float("inf") else int(total)

    def __len__(self) -> int:
        if self._iterator is None:
            raise RuntimeError("Please call `iter(combined_loader)` first.")
        total = self.total()
        if total is None:
            raise TypeError("an iterable without a length is among the combined ones")
        return total

    def reset(self) -> None:
        """Forget the iterators and stop the workers of the loaders."""
        self._iterator = None
        for iterable in self.flattened:
            iterator = getattr(iterable, "_iterator", None)
            if iterator is not None:
                if hasattr(iterator, "_shutdown_workers"):
                    iterator._shutdown_workers()
                iterable._iterator = None

"""Coming back to the place inside an epoch where a checkpoint was written, with the same batches ahead.

A loader's order follows from the random states at the moment its iterator is made; these are remembered and saved. In
a resumed run they are put back, the iterator is made again, and the batches that were trained on are gone past: over
their indices, without loading them, where the loader draws nothing else on the way.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from torchlift.logged_state import dump_entries, updates_of
from torchlift.utilities.random_states import States, collect, restore
from torchlift.utilities.rank_zero import rank_zero_info

if TYPE_CHECKING:
    from torchlift.data import Batches
    from torchlift.loop_state import FitState
    from torchlift.run import Run

SECONDS_BETWEEN_NEWS = 30


def start_batches(state: "FitState") -> None:
    """Make the iterators of an epoch, and remember the random states that the order of batches follows from."""
    assert state.combined is not None and state.batches is not None
    state.random_states = {"iterators": collect(state.combined.flattened, include_cuda=False)}
    state.counted_ahead = 0
    state.batches.start()


def remember_first_batch(state: "FitState") -> None:
    """The epoch's first batch is about to be taken: a sampler in this process draws the order only now."""
    assert state.combined is not None
    state.random_states["first_batch"] = collect(state.combined.flattened, include_cuda=False)


def remembering(run: "Run", take: Callable[[], Any]) -> Callable[[], Any]:
    """`take`, with a look at what it takes to do the coming batch again; itself where no callback saves on errors.

    The batch that an error (or Ctrl-C) broke off is done again, with the same draws, and is logged once.
    """
    state = run.fit
    state.before_batch = None
    if not any(getattr(one, "save_on_exception", False) for one in run.trainer.callbacks):
        return take
    assert state.combined is not None
    loaders = state.combined.flattened

    def remember_and_take() -> Any:
        state.before_batch = (collect(loaders), dump_entries(state.results))
        return take()

    return remember_and_take


def remember_validation(run: "Run") -> None:
    """Validation begins: a checkpoint from inside of it is resumed with the whole of it."""
    val = run.fit.val_loop
    val.before = (collect(()), dict(val.batches_logged), val.last_reload_epoch, updates_of(run.module))


def is_stateful(loader: Any) -> bool:
    """Whether a loader says itself where it stands."""
    return callable(getattr(loader, "state_dict", None)) and callable(getattr(loader, "load_state_dict", None))


def load_states_of_loaders(state: "FitState") -> None:
    """Hand such loaders their states from the checkpoint, if it was written inside an epoch.

    Raises:
        RuntimeError: the checkpoint has states of another number of loaders.
    """
    states, state.loader_states = state.loader_states, []
    if not states or state.combined is None or state.resuming is None or not state.resuming.loads_loaders:
        return
    loaders = [loader for loader in state.combined.flattened if is_stateful(loader)]
    if len(loaders) != len(states):
        raise RuntimeError(
            f"The CombinedLoader has {len(loaders)} stateful loaders, but found {len(states)} states in the checkpoint."
            " Please make sure you define the same dataloaders that were used when saving the checkpoint."
        )
    for loader, kept in zip(loaders, states):
        loader.load_state_dict(kept)


def go_past(batches: "Batches", number: int, restarts: dict[int, tuple[int, States]]) -> None:
    """Leave out the first batches, right after ``batches.start()``.

    Of a plain loader that works in this process the indices are drawn and nothing is loaded. Any other has to load the
    batches: workers have random generators of their own, and only an iterable knows what comes next. Where this leaves
    the generators of this process is not said; the caller sets them.

    Args:
        batches: to go forward in.
        number: of batches to leave out.
        restarts: for loaders that began again within the epoch, at which batch, and the random states then.
    """
    if number == 0:
        return
    with contextlib.suppress(StopIteration):
        if batches._lone:
            _advance(batches._iterator, number - len(batches._ahead))
        else:
            _advance_each(batches, number, restarts)
    batches.fetched, batches._ahead = number, []
    if batches.length is None:
        with contextlib.suppress(StopIteration):
            batches._ahead.append(batches._fetch())


def _advance_each(batches: "Batches", number: int, restarts: dict[int, tuple[int, States]]) -> None:
    """The iterators of several loaders, each by itself."""
    if not batches._ahead:
        next(batches._iterator)  # in turn, because each loader draws its order and loads before the next one draws
    turn: Any = batches._combined._iterator
    turn._idx = number
    for i, iterable in enumerate(turn.iterables):
        if i in restarts:
            began, states = restarts[i]
            restore(states, turn.iterables)
            turn.iterators[i], turn._consumed[i], turn.restarts[i] = iter(iterable), True, restarts[i]
            _advance(turn.iterators[i], number - began)
        else:
            _advance(turn.iterators[i], number - 1)


def _advance(iterator: Iterator[Any], number: int) -> None:
    """Past so many batches, or to the end: it may be another loader than the one the checkpoint was written with."""
    advance = _over_indices(iterator) or _loading(iterator, number)
    with contextlib.suppress(StopIteration):
        for _ in range(number):
            advance()


def _over_indices(iterator: Any) -> Callable[[], Any] | None:
    """What goes past one batch without loading it; ``None`` where that leaves draws out."""
    from torch.utils.data import IterableDataset
    from torch.utils.data.dataloader import _SingleProcessDataLoaderIter

    if type(iterator) is not _SingleProcessDataLoaderIter or isinstance(iterator._dataset, IterableDataset):
        return None

    def skip_one() -> None:
        iterator._next_index()
        iterator._num_yielded += 1

    return skip_one


def _loading(iterator: Iterator[Any], number: int) -> Callable[[], Any]:
    if number:
        rank_zero_info(f"Loading {number} batches again, to go on behind them ...")
    done, told = 0, time.monotonic()

    def load_one() -> None:
        nonlocal done, told
        next(iterator)
        done += 1
        if time.monotonic() - told > SECONDS_BETWEEN_NEWS:
            rank_zero_info(f"... {done} of {number}")
            told = time.monotonic()

    return load_one

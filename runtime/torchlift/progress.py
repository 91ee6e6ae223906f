"""How far a run has come: the counters, and the form in which Lightning's checkpoints keep them."""

from typing import Any, NamedTuple

# The moments a unit of work (a batch, an epoch) passes through, in this order.
READY, STARTED, PROCESSED, COMPLETED = range(4)


class Counts(NamedTuple):
    """How many units have reached each moment."""

    ready: int
    completed: int
    started: int
    processed: int


class Progress:
    """Counts units of work of which one is under way at a time.

    Lightning keeps four counters twice (since the start of the run and since the start of the epoch). All eight follow
    from three numbers: how many units came before the current epoch, the number of the unit under way, and the moment
    it has reached; so passing a moment costs one assignment.
    """

    __slots__ = ("before", "is_last_batch", "phase", "ready")

    def __init__(self) -> None:
        self.before = 0
        self.ready = 0
        self.phase = COMPLETED
        self.is_last_batch = False

    @property
    def started(self) -> int:
        return self.ready - (self.phase < STARTED)

    @property
    def processed(self) -> int:
        return self.ready - (self.phase < PROCESSED)

    @property
    def completed(self) -> int:
        return self.ready - (self.phase < COMPLETED)

    @property
    def current(self) -> Counts:
        """Since the start of the epoch (for epochs: of the run)."""
        return Counts(self.ready, self.completed, self.started, self.processed)

    @property
    def total(self) -> Counts:
        """Since the start of the run, the runs that it resumes included."""
        return Counts(*(count + self.before for count in self.current))

    def complete_processed(self) -> None:
        """A unit restored from the end of its processing counts as completed."""
        if self.phase == PROCESSED:
            self.phase = COMPLETED

    def reset_on_run(self) -> None:
        """A new epoch: what was done joins what came before."""
        self.before += self.completed
        self.ready, self.phase, self.is_last_batch = 0, COMPLETED, False

    def reset_on_restart(self) -> None:
        """Forget a unit that was under way when the checkpoint was written; it will be done again."""
        self.ready, self.phase = self.completed, COMPLETED

    def reset(self) -> None:
        """Back to nothing done."""
        self.before, self.ready, self.phase, self.is_last_batch = 0, 0, COMPLETED, False

    def state_dict(self, with_last: bool = True) -> dict[str, Any]:
        state: dict[str, Any] = {"total": self.total._asdict(), "current": self.current._asdict()}
        if with_last:
            state["is_last_batch"] = self.is_last_batch
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        current, total = state["current"], state["total"]
        self.ready = current["ready"]
        self.before = total["ready"] - current["ready"]
        self.is_last_batch = state.get("is_last_batch", False)
        self.phase = COMPLETED
        for phase, name in ((PROCESSED, "completed"), (STARTED, "processed"), (READY, "started")):
            if current[name] < self.ready:
                self.phase = phase


class Tally:
    """A plain count, with the part that belongs to the current epoch."""

    __slots__ = ("before", "total")

    def __init__(self) -> None:
        self.total = 0
        self.before = 0

    @property
    def current(self) -> int:
        return self.total - self.before

    def reset_on_run(self) -> None:
        self.before = self.total

    def state_dict(self, *names: str) -> dict[str, dict[str, int]]:
        """In Lightning's form, which has a counter for each of `names`."""
        return {"total": dict.fromkeys(names, self.total), "current": dict.fromkeys(names, self.current)}

    def load_state_dict(self, state: dict[str, dict[str, int]]) -> None:
        self.total = state["total"]["completed"]
        self.before = self.total - state["current"]["completed"]

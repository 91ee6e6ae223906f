"""Errors that the runtime raises on purpose."""

import signal


class MisconfigurationException(Exception):
    """Arguments, hooks or data that cannot work together. The message says what to change."""


class SIGTERMException(SystemExit):
    """The process was asked to end (SIGTERM) and stopped at the next safe point.

    A subclass of ``SystemExit``, as in Lightning, so that no handler of ordinary errors swallows it. The process ends
    with the status of one that the signal ended, 143, so that schedulers see it did not finish.
    """

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)


class PossibleUserWarning(UserWarning):
    """Something that is probably, but not certainly, a mistake of the user."""


class _TunerExitException(Exception):
    """A search is over, and the entry point that it ran in with it. Not an error: the Trainer catches it."""

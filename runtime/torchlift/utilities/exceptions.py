"""Errors that the runtime raises on purpose."""


class MisconfigurationException(Exception):
    """Arguments, hooks or data that cannot work together. The message says what to change."""


class SIGTERMException(SystemExit):
    """The process was asked to end (SIGTERM) and stopped at the next safe point.

    A subclass of ``SystemExit``, as in Lightning, so that no handler of ordinary errors swallows it.
    """


class PossibleUserWarning(UserWarning):
    """Something that is probably, but not certainly, a mistake of the user."""


class _TunerExitException(Exception):
    """A search is over, and the entry point that it ran in with it. Not an error: the Trainer catches it."""

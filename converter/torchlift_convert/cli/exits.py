"""How the commands end."""

from __future__ import annotations

from enum import IntEnum

from torchlift_convert.types import Status


class ExitCode(IntEnum):
    """Documented in docs/cli.md and in each command's --help; numbers never change their meaning."""

    DONE = 0  # converted; equal; rendered
    LEFT = 1  # something is left to do by hand, --check found something, or the two scripts differ
    UNUSABLE = 2  # an input could not be read or used, or the output could not be written; nothing was changed
    BUG = 3  # torchlift itself failed; nothing was changed


EXIT_OF_STATUS = {
    Status.CONVERTED: ExitCode.DONE,
    Status.REFUSED: ExitCode.LEFT,
    Status.NO_LOOP: ExitCode.UNUSABLE,
    Status.ALREADY: ExitCode.UNUSABLE,
    Status.SKIPPED: ExitCode.UNUSABLE,
    Status.UNREADABLE: ExitCode.UNUSABLE,
}

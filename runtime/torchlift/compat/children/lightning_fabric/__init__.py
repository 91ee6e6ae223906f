"""Found instead of the installed Lightning in processes that a run of ``torchlift.compat`` has started."""

from torchlift.compat.install import take_over

take_over(__name__)

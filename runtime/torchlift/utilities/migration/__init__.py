"""Checkpoints of older versions of Lightning, brought to the form of the present one."""

from torchlift.utilities.migration.utils import migrate_checkpoint, pl_legacy_patch

__all__ = ["migrate_checkpoint", "pl_legacy_patch"]

"""``Trainer(plugins=...)``: a precision of the user's own."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from torchlift.precision import Precision
from torchlift.utilities.exceptions import MisconfigurationException

if TYPE_CHECKING:
    from torchlift.trainer import Trainer


def apply_plugins(trainer: "Trainer", plugins: Any, precision: Any) -> None:
    """Put each plugin in its place.

    Raises:
        MisconfigurationException: a plugin is of no known kind, or two are of one kind.
        ValueError: a precision plugin and ``precision=`` were both given.
    """
    if plugins is None:
        return
    given = list(plugins) if isinstance(plugins, Iterable) else [plugins]
    for plugin in given:
        if not isinstance(plugin, Precision):
            raise MisconfigurationException(
                f"Found invalid type for plugin {plugin}. This runtime takes a `Precision` as plugin."
            )
    if len(given) > 1:
        raise MisconfigurationException(
            "Received multiple values for Precision flags in `plugins`. Expected one value for each type at most."
        )
    if given and precision is not None:
        raise ValueError(f"Received both `precision={precision}` and `plugins={given[0]}`. Choose one.")
    if given:
        trainer.precision_plugin = given[0]

"""What a module has to say about itself to be served."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

__all__ = ["ServableModule"]


class ServableModule(ABC, nn.Module):
    """Derive from it beside LightningModule, and override all four methods."""

    @abstractmethod
    def configure_payload(self) -> dict[str, Any]:
        """An example request, ``{"body": {name: value}}``, of what JSON can hold."""

    @abstractmethod
    def configure_serialization(self) -> tuple[dict[str, Callable[[Any], Any]], dict[str, Callable[[Any], Any]]]:
        """How to make what ``serve_step`` takes of each value of the body, and JSON of each of its outputs."""

    @abstractmethod
    def serve_step(self, *args: Tensor, **kwargs: Tensor) -> dict[str, Tensor]:
        """Answer a request whose values come by name."""

    @abstractmethod
    def configure_response(self) -> dict[str, Any]:
        """The answer that the example request must get."""

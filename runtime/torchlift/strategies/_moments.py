"""What a strategy is told of a run; nothing happens there unless somebody overrides it."""

from typing import Any

from torch import Tensor


class Moments:
    """Called after everybody else's hooks of the same name."""

    def on_train_start(self) -> None:
        """Training begins."""

    def on_train_end(self) -> None:
        """Training ends."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """A training batch begins."""

    def on_validation_start(self) -> None:
        """Validation begins."""

    def on_validation_end(self) -> None:
        """Validation ends."""

    def on_test_start(self) -> None:
        """Testing begins."""

    def on_test_end(self) -> None:
        """Testing ends."""

    def on_predict_start(self) -> None:
        """Prediction begins."""

    def on_predict_end(self) -> None:
        """Prediction ends."""

    def pre_backward(self, closure_loss: Tensor) -> None:
        """The backward pass begins."""

    def post_backward(self, closure_loss: Tensor) -> None:
        """The backward pass is over."""

    def on_exception(self, exception: BaseException) -> None:
        """The run ended with an exception."""

"""Closed sets of strings."""

from enum import Enum


class LowercaseEnum(str, Enum):  # noqa: UP042 - StrEnum would change what str() gives
    """A string enumeration that equals its value whatever the case, as Lightning's do."""

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Enum):
            other = other.value
        return isinstance(other, str) and self.value.lower() == other.lower()

    def __hash__(self) -> int:
        return hash(self.value.lower())


class GradClipAlgorithmType(LowercaseEnum):
    """What ``Trainer(gradient_clip_algorithm=...)`` accepts."""

    VALUE = "value"
    NORM = "norm"

    @staticmethod
    def supported_type(name: str) -> bool:
        return any(name == member.value for member in GradClipAlgorithmType)

    @staticmethod
    def supported_types() -> list[str]:
        return [member.value for member in GradClipAlgorithmType]

"""Which guide made an embedding: those of two guides, or of two questions, have nothing to do with each other."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class GuideIdentity:
    """Who was asked what, and what comes back."""

    name: str
    """Hub repository, or the name of a folder."""
    sha256: str | None
    """Over the files, or the weights, that decide its answers, in hexadecimal digits; None where it is not known."""
    question: str | None
    """What a multimodal guide was asked about each picture; None for a guide that reads captions."""
    shape: tuple[int, ...]
    """Of one picture's embedding: (3, width) of a multimodal guide, (width,) of text features."""

    @property
    def width(self) -> int:
        """Length of one vector."""
        return self.shape[-1]

    def differences(self, other: "GuideIdentity") -> list[str]:
        """In what two guides differ, in words; nothing where embeddings of one may stand beside those of the other.

        The same weights under another name are the same guide; where a hash is unknown, names are compared, without
        their owners.

        Args:
            other: The one that was expected.
        """
        differences = []
        if self.sha256 is not None and other.sha256 is not None:
            is_same = self.sha256 == other.sha256
        else:
            is_same = self.name.rpartition("/")[2] == other.name.rpartition("/")[2]
        if not is_same:
            differences.append(f"made by {self.title}, expected {other.title}")
        if self.question != other.question:
            differences.append(f"made with the question {self.question!r}, expected {other.question!r}")
        if self.shape != other.shape:
            differences.append(f"of shape {self.shape}, expected {other.shape}")
        return differences

    @property
    def title(self) -> str:
        """Name and start of the hash."""
        return self.name if self.sha256 is None else f"{self.name} (sha256 {self.sha256[:12]})"

    def as_dict(self) -> dict[str, Any]:
        """The identity as plain values, ready for JSON."""
        return {**asdict(self), "shape": list(self.shape), "width": self.width}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "GuideIdentity":
        """Read what `as_dict` gave.

        Raises:
            ValueError: a value is missing or of another type.
        """
        name, sha256, question = values.get("name"), values.get("sha256"), values.get("question")
        shape = values.get("shape")
        is_valid = (
            isinstance(name, str)
            and isinstance(sha256, (str, type(None)))
            and isinstance(question, (str, type(None)))
            and isinstance(shape, list)
            and bool(shape)
            and all(type(side) is int and side > 0 for side in shape)  # no bool
        )
        if not is_valid:
            raise ValueError(f"expected name, sha256, question and shape of a guide, got {dict(values)}")
        return cls(name=str(name), sha256=sha256, question=question, shape=tuple(shape or ()))

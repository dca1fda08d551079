"""The public name of converting published checkpoints: `from ldrestore.conversion import convert`."""

from ldrestore.checkpoints.conversion import convert
from ldrestore.checkpoints.published_catalog import CLIP_TOWER, INSTRUCTION_HEAD

__all__ = ["CLIP_TOWER", "INSTRUCTION_HEAD", "convert"]

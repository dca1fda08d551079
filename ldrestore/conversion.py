"""The public name of converting published checkpoints: `from ldrestore.conversion import convert`."""

from ldrestore.checkpoints.conversion import CLIP_TOWER, INSTRUCTION_HEAD, convert

__all__ = ["CLIP_TOWER", "INSTRUCTION_HEAD", "convert"]

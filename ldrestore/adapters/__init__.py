"""Features of the damaged picture that enter a U-Net, and how they are attached to it."""

from ldrestore.adapters.ir_adapter import IRAdapter

__all__ = ["IRAdapter"]

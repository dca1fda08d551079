"""Features of the damaged picture that enter a U-Net, and how they are attached to it."""

from ldrestore.adapters.attachment import Attachment, attach
from ldrestore.adapters.injection import InjectionLayers
from ldrestore.adapters.ir_adapter import IRAdapter

__all__ = ["Attachment", "IRAdapter", "InjectionLayers", "attach"]

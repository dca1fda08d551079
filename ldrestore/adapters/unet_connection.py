"""Our parts in a pipeline's U-Net: injection layers, and the backend with which all of them attend."""

from collections.abc import Mapping
from typing import Any

from ldrestore.adapters.attachment import Attachment, attach
from ldrestore.adapters.dispatching_attention import dispatch_attention, restore_attention
from ldrestore.weights.compiled import uncompiled

ATTENDING_PARTS = ("unet", "cm_adapter", "ir_adapter", "drm")
"""Parts with attention that goes through diffusers' dispatcher."""


class UNetConnection:
    """What a pipeline has changed in its U-Net, and how to undo it."""

    def __init__(self) -> None:
        """Begin with an untouched U-Net and diffusers' default backend."""
        self.attachment: Attachment | None = None
        self.backend: str | None = None
        """Name of the chosen one; None for diffusers' default."""
        self._dispatched: tuple[Any, dict[str, object]] | None = None  # a U-Net without layers, and what gave way there

    def connect(self, parts: Mapping[str, Any]) -> None:
        """Attach the injection layers, once; again where one of the two was replaced.

        What is attached anew attends with the chosen backend.

        Args:
            parts: Of the pipeline, by name; any may be compiled.
        """
        unet, injection = (uncompiled(parts[name]) for name in ("unet", "injection"))
        attached = self.attachment
        if attached is not None and (attached.unet is not unet or attached.injection is not injection):
            self.disconnect()
        if self._dispatched is not None and self._dispatched[0] is not unet:
            self.disconnect()  # the U-Net that was replaced gets its processors back
        if injection is not None:
            if self.attachment is not None:
                return
            self.attachment = attach(unet, injection)
        elif self.backend is None or self._dispatched is not None:
            return
        else:
            self._dispatched = unet, dispatch_attention(unet)
        self._use_backend(parts)

    def disconnect(self) -> None:
        """Leave the U-Net as it was found; the chosen backend is remembered."""
        if self.attachment is not None:
            self.attachment.detach()
        if self._dispatched is not None:
            restore_attention(*self._dispatched)
        self.attachment = self._dispatched = None

    def choose_backend(self, backend: str, parts: Mapping[str, Any]) -> None:
        """Let the U-Net and our own parts attend with another of diffusers' backends.

        Args:
            backend: Its name for diffusers.
            parts: Of the pipeline, by name.

        Raises:
            ValueError: diffusers knows no such backend.
            RuntimeError: its package is missing or too old. After this or any other error all is as before.
        """
        self.disconnect()  # somebody may have set processors since, as switching xFormers on and off does
        previous, self.backend = self.backend, backend
        try:
            self.connect(parts)
        except Exception:  # whatever diffusers or a package says of it
            self.disconnect()
            self.backend = previous
            raise

    def _use_backend(self, parts: Mapping[str, Any]) -> None:
        """Hand the chosen backend to everything that attends."""
        for name in ATTENDING_PARTS if self.backend is not None else ():
            if parts[name] is not None:
                parts[name].set_attention_backend(self.backend)

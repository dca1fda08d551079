"""Our parts in a pipeline's U-Net: what is attached to it, and the backend with which all of them attend."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from ldrestore.adapters.dispatching_attention import dispatch_attention, restore_attention
from ldrestore.weights.compiled import uncompiled


class Detachable(Protocol):
    """What attaching gives."""

    def detach(self) -> None:
        """Leave the U-Net as it was found; a second call does nothing."""
        ...


AttachmentT = TypeVar("AttachmentT", bound=Detachable)
"""Of one kind of part."""


class UNetConnection(Generic[AttachmentT]):
    """What a pipeline has changed in its U-Net, and how to undo it."""

    def __init__(
        self, attach: Callable[[Any, Any], AttachmentT], *, attached: Sequence[str], attending: Sequence[str]
    ) -> None:
        """Begin with an untouched U-Net and diffusers' default backend.

        Args:
            attach: Connects a U-Net with a part.
            attached: Names of the parts that may be attached, of which a pipeline has one at most.
            attending: Names of the parts with attention that goes through diffusers' dispatcher.
        """
        self.attachment: AttachmentT | None = None
        self.backend: str | None = None
        """Name of the chosen one; None for diffusers' default."""
        self._attach, self._attached, self._attending = attach, attached, attending
        self._pair: tuple[Any, Any] | None = None  # the U-Net and the part that are connected
        self._dispatched: tuple[Any, dict[str, object]] | None = None  # a U-Net without a part, and what gave way there

    def connect(self, parts: Mapping[str, Any]) -> None:
        """Attach the part, once; again where it or the U-Net was replaced.

        What is attached anew attends with the chosen backend.

        Args:
            parts: Of the pipeline, by name; any may be compiled.
        """
        unet = uncompiled(parts["unet"])
        part = next((uncompiled(parts[name]) for name in self._attached if parts[name] is not None), None)
        if self._pair is not None and (self._pair[0] is not unet or self._pair[1] is not part):
            self.disconnect()
        if self._dispatched is not None and self._dispatched[0] is not unet:
            self.disconnect()  # the U-Net that was replaced gets its processors back
        if part is not None:
            if self.attachment is not None:
                return
            self.attachment, self._pair = self._attach(unet, part), (unet, part)
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
        self.attachment = self._pair = self._dispatched = None

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
        for name in self._attending if self.backend is not None else ():
            if parts[name] is not None:
                parts[name].set_attention_backend(self.backend)

"""Embeddings of pictures on disk: made once by a guide, read by trainers and pipelines that run without it.

A cache is one safetensors file: a float32 tensor for each picture, its name the hash of the picture's pixels, so that
neither a new file name nor another folder matters; and one line of JSON that says which guide made it.
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ldrestore.errors import EmbeddingCacheError, InputError, MissingEmbeddingError, OtherGuideError, ShapeError
from ldrestore.guides.guide_identity import GuideIdentity
from ldrestore.images.photo import Photo
from ldrestore.records import hash_of_pixels

FORMAT_VERSION = 1
"""Of the metadata, and of how pictures are shown to a guide."""

METADATA_KEY = "ldrestore_embeddings"
"""Entry of the safetensors header; a single one, since the order of several is not fixed."""

WRITE_EVERY = 64
"""New embeddings after which a cache is written again; a file of n is written no sooner than after n / 16."""


def picture_key(photo: Photo) -> str:
    """What a picture is known by in a cache: the hash of its pixels and alpha, 64 hexadecimal digits."""
    return hash_of_pixels(photo.pixels, photo.alpha)


def load_embedding_cache(
    path: str | Path, *, expected_shape: Sequence[int] | None = None, identity: GuideIdentity | None = None
) -> "EmbeddingCache":
    """Open a cache; only its header is read.

    Args:
        path: The safetensors file.
        expected_shape: Shape of one picture's embedding that the network takes, without the batch axis.
        identity: The guide that the network was trained with, where that is known.

    Raises:
        OtherGuideError: the embeddings have another shape, or are another guide's.
        EmbeddingCacheError: nothing lies there, it is damaged, or no cache.
    """
    cache = EmbeddingCache(path)
    if expected_shape is not None and cache.shape != tuple(expected_shape):
        raise OtherGuideError(
            f"{path} holds embeddings of shape {cache.shape} by {cache.identity.title}, expected "
            f"{tuple(expected_shape)}; make a cache with the guide that the network was trained with: ldrestore guide"
        )
    if identity is not None:
        _refuse_differences(cache, identity)
    return cache


class EmbeddingCache:
    """A cache that is open for reading: `cache.get(picture_key(photo))`; loader processes may each have a copy."""

    def __init__(self, path: str | Path) -> None:
        """Open the file.

        Args:
            path: The safetensors file.

        Raises:
            EmbeddingCacheError: nothing lies there, it is damaged, or no cache.
        """
        self.path = Path(path)
        self._open()

    def _open(self) -> None:
        """Map the file and read its header; the arguments are those of the class."""
        if not self.path.is_file():
            raise EmbeddingCacheError(
                f"no cache of embeddings at {self.path}; make one with: ldrestore guide IN {self.path}"
            )
        try:
            self._file = safe_open(self.path, framework="pt")
            self._keys = frozenset(self._file.keys())
            metadata = self._file.metadata() or {}
        except (SafetensorError, OSError) as error:
            raise EmbeddingCacheError(
                f"{self.path} is no intact safetensors file ({error}); remove it and make it again with ldrestore guide"
            ) from error
        self.identity = _read_identity(metadata.get(METADATA_KEY), self.path)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one picture's embedding."""
        return self.identity.shape

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        """Whether the picture of a key is there."""
        return key in self._keys

    def __iter__(self) -> Iterator[str]:
        """All keys, sorted."""
        return iter(sorted(self._keys))

    def get(self, key: str) -> Tensor:
        """The embedding of one picture.

        Args:
            key: See `picture_key`.

        Returns:
            Of `self.shape`, float32, on the CPU; the caller's own.

        Raises:
            MissingEmbeddingError: the picture is not there.
            EmbeddingCacheError: the entry has another shape or type than the file says.
        """
        if key not in self._keys:
            raise MissingEmbeddingError(
                f"{self.path} holds no embedding of the picture with the pixels {key[:12]}; one changed pixel makes "
                f"another picture; add it with: ldrestore guide IN {self.path}"
            )
        embedding = self._file.get_tensor(key)
        if tuple(embedding.shape) != self.shape or embedding.dtype != torch.float32:
            raise EmbeddingCacheError(
                f"{self.path} is damaged: an entry is {tuple(embedding.shape)} of {embedding.dtype}, expected "
                f"{self.shape} of torch.float32; remove it and make it again with ldrestore guide"
            )
        return embedding.clone()  # the file may be replaced while the tensor lives

    def __getstate__(self) -> dict[str, Any]:
        """Another process opens the file itself."""
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the file in this process."""
        self.path = state["path"]
        self._open()


class EmbeddingWriter:
    """A cache that grows: `with EmbeddingWriter(path, identity) as writer: writer.add(key, embedding)`.

    What lies in the file stays. It is replaced whole, by renaming, every now and then and when the block is left, by an
    error or Ctrl-C too; a process that is killed loses what came after the last time. One process at a time may write.
    """

    def __init__(self, path: str | Path, identity: GuideIdentity, *, write_every: int = WRITE_EVERY) -> None:
        """Take up the file where there is one; none is made before there is an embedding.

        Args:
            path: The safetensors file.
            identity: The guide that makes the embeddings.
            write_every: New embeddings after which the file is written again.

        Raises:
            OtherGuideError: the file holds another guide's.
            EmbeddingCacheError: it is damaged or no cache, or nothing can be written there.
        """
        self.path, self.identity, self._write_every = Path(path), identity, write_every
        self._embeddings: dict[str, Tensor] = {}
        self._num_new = 0
        if not os.access(self.path.parent, os.W_OK):  # told now, not after hours of work
            raise EmbeddingCacheError(f"{self.path} cannot be written: no folder there that may be written into")
        if self.path.exists():
            cache = load_embedding_cache(self.path, identity=identity)
            self._embeddings = {key: cache.get(key) for key in cache}

    def __enter__(self) -> "EmbeddingWriter":
        """Begin."""
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write what is new, whatever has happened."""
        self.write()

    def __len__(self) -> int:
        """Number of pictures, written or not."""
        return len(self._embeddings)

    def __contains__(self, key: object) -> bool:
        """Whether the picture of a key is there, written or not."""
        return key in self._embeddings

    def add(self, key: str, embedding: Tensor) -> None:
        """Put one picture's embedding in.

        Args:
            key: See `picture_key`.
            embedding: Of the identity's shape, any floating type and device.

        Raises:
            ShapeError: another shape.
            InputError: it has values that are not finite.
            EmbeddingCacheError: it was time to write, and the file cannot be written.
        """
        if tuple(embedding.shape) != self.identity.shape:
            raise ShapeError(f"expected an embedding of shape {self.identity.shape}, got {tuple(embedding.shape)}")
        values = embedding.detach().to("cpu", torch.float32, copy=True).contiguous()
        if not values.isfinite().all():
            raise InputError("the embedding has values that are not finite; run the guide in bfloat16 or float32")
        self._embeddings[key] = values
        self._num_new += 1
        if self._num_new >= max(self._write_every, len(self._embeddings) // 16):
            self.write()

    def write(self) -> None:
        """Replace the file, if there is anything new; equal embeddings give equal bytes.

        Raises:
            EmbeddingCacheError: the file cannot be written.
        """
        if not self._num_new:
            return
        metadata = {"version": FORMAT_VERSION, "guide": self.identity.as_dict()}
        content = save(self._embeddings, metadata={METADATA_KEY: json.dumps(metadata, sort_keys=True)})
        temporary = self.path.with_name(f".{self.path.name}.part")
        try:
            temporary.write_bytes(content)
            temporary.replace(self.path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise EmbeddingCacheError(
                f"{self.path} cannot be written ({error.strerror}); check the folder and the space left"
            ) from error
        self._num_new = 0


def _read_identity(text: str | None, path: Path) -> GuideIdentity:
    """The guide that a header names.

    Raises:
        EmbeddingCacheError: it names none, or the cache is of another version.
    """
    if text is None:
        raise EmbeddingCacheError(f"{path} is no cache of embeddings: it does not say which guide made it")
    try:
        content = json.loads(text)
        version, guide = content["version"], content["guide"]
        if version == FORMAT_VERSION:
            return GuideIdentity.from_dict(guide)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise EmbeddingCacheError(
            f"{path} has a damaged header ({error}); make it again with ldrestore guide"
        ) from error
    raise EmbeddingCacheError(
        f"{path} is a cache of version {version}, expected {FORMAT_VERSION}; make it again with ldrestore guide"
    )


def _refuse_differences(cache: EmbeddingCache, identity: GuideIdentity) -> None:
    """Refuse a cache of another guide.

    Raises:
        OtherGuideError: in what it differs.
    """
    differences = cache.identity.differences(identity)
    if differences:
        raise OtherGuideError(
            f"the embeddings of {cache.path} are {'; '.join(differences)}; take another file, or that guide"
        )

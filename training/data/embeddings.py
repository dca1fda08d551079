"""What a guide said of each picture, in training: read from a cache, so that the guide itself need not run."""

from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from ldrestore.datasets.pictures import index_of
from ldrestore.datasets.seeds import Key
from ldrestore.errors import MissingEmbeddingError
from ldrestore.guides.embedding_cache import load_embedding_cache, picture_key
from ldrestore.images.files import read_photo
from ldrestore.training.data.guidance_config import EmbeddingsConfig
from ldrestore.training.data.training_data import PairDataset


class EmbeddingSource:
    """The embedding of each file, found by its pixels."""

    def __init__(self, config: EmbeddingsConfig, *, shape: tuple[int, ...]) -> None:
        """Open the cache.

        Args:
            config: Where it lies.
            shape: Of one picture's embedding, as the network takes it.

        Raises:
            OtherGuideError: its embeddings have another shape.
            EmbeddingCacheError: there is no cache, or it is damaged.
        """
        self._cache = load_embedding_cache(config.cache, expected_shape=shape)
        self._keys: dict[Path, str] = {}

    def of_file(self, path: Path) -> Tensor:
        """The embedding of a picture, float32.

        Raises:
            EmbeddingCacheError: the cache does not know the picture; the message names the file.
            ImageFileError: the file cannot be read.
        """
        if path not in self._keys:
            self._keys[path] = picture_key(read_photo(path))
        try:
            return self._cache.get(self._keys[path])
        except MissingEmbeddingError as error:
            raise MissingEmbeddingError(f"{path}: {error}") from error


class EmbeddedDataset(Dataset[dict[str, Any]]):
    """A data set whose items also have "embedding", that of the file which they are cut from.

    A crop has the embedding of its whole picture: what a guide says of the crop itself would have to be computed anew
    in each epoch.
    """

    def __init__(self, dataset: PairDataset, source: EmbeddingSource) -> None:
        """Put embeddings beside pictures.

        Args:
            dataset: The pictures.
            source: Their embeddings.
        """
        self.dataset, self.source = dataset, source

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.dataset)

    def source_path(self, index: int) -> Path:
        """The file that an item is cut from."""
        return self.dataset.source_path(index)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """One item; see the class."""
        embedding = self.source.of_file(self.dataset.source_path(index_of(key)))
        return {**self.dataset[key], "embedding": embedding}

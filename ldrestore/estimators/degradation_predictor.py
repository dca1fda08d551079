"""MPerceiver's degradation predictor, Ai et al. 2024, Sec. 3.2 (https://arxiv.org/abs/2312.02918)."""

from collections.abc import Sequence

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Generator, Tensor, nn

from ldrestore.blocks.degradation_rows import checked_names, grown_linear, grown_names
from ldrestore.errors import ConfigError, ShapeError, UnknownNameError
from ldrestore.guides.clip_tower import VIEWS, TowerView
from ldrestore.structures import MPERCEIVER_SET, DegradationEstimate


class DegradationPredictor(ModelMixin, ConfigMixin):
    """Tells from CLIP's embedding of a picture what is wrong with it: P = softmax(W2 relu(W1 e + b1) + b2).

    P weighs all prompts, textual and visual ones. Attribute names are those of the released checkpoint, whose further
    keys, `model.*`, are the frozen tower.
    """

    @register_to_config
    def __init__(
        self,
        degradations: Sequence[str] = MPERCEIVER_SET,
        embedding_dim: int = 1024,
        hidden_dim: int = 512,
        view: TowerView = "native",
    ) -> None:
        """Build the predictor; the defaults are the released layout, its authors' weights want the view "released".

        Args:
            degradations: Names of the N outputs, in their order.
            embedding_dim: D of the tower's embeddings.
            hidden_dim: Width between the layers.
            view: What the tower is shown, see `ClipTower`; everything that was trained with this predictor has seen the
                same.

        Raises:
            ConfigError: no name, one twice, or a size that is not positive.
            UnknownNameError: no such view.
        """
        super().__init__()
        if view not in VIEWS:
            raise UnknownNameError("view", view, VIEWS)
        if min(embedding_dim, hidden_dim) < 1:
            raise ConfigError(f"sizes must be positive, got {embedding_dim} and {hidden_dim}")
        self.fc1 = nn.Linear(embedding_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, len(checked_names(degradations)))

    @property
    def names(self) -> tuple[str, ...]:
        """The N degradations."""
        return tuple(self.config["degradations"])

    @property
    def view(self) -> TowerView:
        """What the tower is shown."""
        return self.config["view"]

    def forward(self, embeddings: Tensor) -> Tensor:
        """Logits.

        Args:
            embeddings: (B, D), one a picture; or (B, K, D), of K views of each, whose logits are averaged.

        Returns:
            (B, N).

        Raises:
            ShapeError: the embeddings have another shape.
        """
        if embeddings.ndim not in (2, 3) or embeddings.shape[-1] != self.config["embedding_dim"]:
            width = self.config["embedding_dim"]
            raise ShapeError(f"expected embeddings (B, {width}) or (B, K, {width}), got {tuple(embeddings.shape)}")
        logits = self.fc2(self.fc1(embeddings).relu())  # (B, N) or (B, K, N)
        return logits if logits.ndim == 2 else logits.mean(dim=1)

    def probabilities(self, embeddings: Tensor) -> Tensor:
        """P of each picture.

        Args:
            embeddings: As `forward` takes them.

        Returns:
            (B, N), float32; rows sum to 1.

        Raises:
            ShapeError: the embeddings have another shape.
        """
        return self(embeddings).float().softmax(dim=-1)

    @torch.no_grad()
    def estimate(self, embeddings: Tensor) -> list[DegradationEstimate]:
        """What is wrong with each of B pictures.

        Args:
            embeddings: As `forward` takes them.

        Raises:
            ShapeError: the embeddings have another shape.
        """
        return estimates_of(self.probabilities(embeddings), self.names)

    def grow(self, names: Sequence[str], *, generator: Generator | None = None) -> None:
        """Learn to tell further degradations: new outputs, drawn as those of a new layer; the old ones stay to the bit.

        The last layer is another one afterwards: make the optimizer after this.

        Args:
            names: Of the new degradations.
            generator: Draws the new rows.

        Raises:
            ConfigError: there is no new name, or one is known already.
        """
        grown = grown_names(self.names, names)
        self.fc2 = grown_linear(self.fc2, len(grown) - len(self.names), generator=generator)
        self.register_to_config(degradations=list(grown))


def estimates_of(probabilities: Tensor, names: Sequence[str]) -> list[DegradationEstimate]:
    """Rows of P as what a user reads.

    Args:
        probabilities: (B, N).
        names: N of them.
    """
    return [DegradationEstimate(tuple(names), tuple(row)) for row in probabilities.float().tolist()]

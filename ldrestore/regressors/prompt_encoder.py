"""A small encoder that makes of a picture what a large guide would say about it."""

from torch import Tensor, nn

from ldrestore.tiling.shared_statistics import MapStatistic, channel_means


class PromptEncoder(nn.Module):
    """Three strided convolutions, the mean over the positions, and a linear map to the embeddings."""

    def __init__(self, num_channels: int, *, num_embeddings: int, embedding_width: int) -> None:
        """Build it.

        Args:
            num_channels: C after the first convolution; it doubles with each of the others.
            num_embeddings: K.
            embedding_width: D.
        """
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, num_channels, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(num_channels, 2 * num_channels, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(2 * num_channels, 4 * num_channels, 3, stride=2, padding=1),
            nn.GELU(),
        )
        self.means = MapStatistic(channel_means)
        self.head = nn.Sequential(
            nn.Linear(4 * num_channels, num_embeddings * embedding_width),
            nn.Unflatten(1, (num_embeddings, embedding_width)),
        )

    def forward(self, lq: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to (B, K, D)."""
        return self.head(self.means(self.body(lq)).flatten(1))

"""The dataclasses that the stages hand on to each other."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

DARKNESS = "low_light"
"""The degradation that a picture cannot show: whether it is dark because it was meant to be."""

HAZE = "haze"
"""The degradation that a matte picture looks alike."""

CLEAN = "clean"
"""In the place of a degradation's name: that nothing is wrong."""

FIRST_SET = (
    "gaussian_noise",
    "poisson_noise",
    "real_noise",
    "motion_blur",
    "defocus_blur",
    "gaussian_blur",
    "rain",
    "snow",
    "haze",
    "raindrop",
    "low_light",
    "jpeg",
    "downscale",
)
"""The degradations that the embedded default is trained for, in the order of its estimate."""

MPERCEIVER_SET = (
    "haze",
    "snow",
    "gaussian_noise",
    "rain",
    "motion_blur",
    "defocus_blur",
    "real_noise",
    "raindrop",
    "low_light",
)
"""The nine degradations of MPerceiver, in its released order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TilePlan:
    """How one picture is cut into tiles.

    A plan with `tile == 0` means the whole picture in one forward pass.
    """

    tile: int
    """Side of a square tile in input pixels, a multiple of 64; 0 for the whole picture at once."""
    overlap: int
    """Pixels that neighbouring tiles share, blended linearly; 0 when `tile` is 0."""
    memory_bytes: int | None
    """The memory budget that the plan was made for, in bytes; None when the tile was given by the user."""
    look: int = 768
    """Side of a square of as many pixels as a network is shown natively of the whole picture before its tiles; smaller
    pictures are shown whole."""
    unet_tile: int | None = None
    """Side of the U-Net's tiles, which needs less memory a pixel than the autoencoder, 0 for the whole picture at once;
    None for `tile`."""
    decoder_tile: int | None = None
    """Side of the autoencoder's tiles where memory ran out in one of its stages; None for `tile`."""
    steps_down: int = 0
    """How often memory ran out and the plan went one rung down the ladder."""

    def as_dict(self) -> dict[str, int | None]:
        """The plan as plain values, for a record."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class DegradationEstimate(Mapping[str, float]):
    """What is wrong with a picture and how sure the model is: name to probability; empty where it estimates nothing."""

    names: tuple[str, ...] = ()
    """Degradation names of the vocabulary, e.g. ("haze", "rain")."""
    probabilities: tuple[float, ...] = ()
    """One value in [0, 1] for each name; each degradation may be there or not, so they need not sum to 1."""

    def __getitem__(self, name: str) -> float:
        """The probability of one degradation; a KeyError for a name that the model does not know."""
        return dict(zip(self.names, self.probabilities, strict=True))[name]

    def __iter__(self) -> Iterator[str]:
        """The names, in their order."""
        return iter(self.names)

    def __len__(self) -> int:
        """How many names there are."""
        return len(self.names)

    def ranked(self) -> list[tuple[str, float]]:
        """Names and probabilities, the surest first."""
        return sorted(zip(self.names, self.probabilities, strict=True), key=lambda pair: -pair[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditioning:
    """What steers the denoising: words for the U-Net's cross-attention, and how much of each degradation there is."""

    prompt_embeds: "Tensor"
    """(B, L, D), L = 77 and D = 1024 on SD 2.1; tokens as the text encoder puts them out."""
    probabilities: "Tensor"
    """(B, N), P, each row in [0, 1] and summing to 1."""
    names: tuple[str, ...]
    """The N degradations that the columns of P stand for."""

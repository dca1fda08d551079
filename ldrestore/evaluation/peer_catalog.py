"""Classical restorers as contestants: what each is for, and under what terms."""

from dataclasses import dataclass

from ldrestore.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRecord:
    """One classical restorer; it takes part in the datasets of its tasks alone."""

    name: str
    """As `--peer` takes it."""
    target: str
    """The function as "module:attribute", (H, W, 3) uint8 to the same."""
    tasks: tuple[str, ...]
    """What it is made for."""
    needs_sigma: bool = False
    """Whether it is told the standard deviation of the noise, as `sigma_255`; models are not."""
    licence: str = "Apache-2.0"
    """Of the code that computes."""
    source: str
    """Paper."""


PEERS: Registry[PeerRecord] = Registry("classical peer")

_MODULE = "ldrestore.evaluation.classical_peers"

for _record in (
    PeerRecord(
        name="opencv_nlm",
        target=f"{_MODULE}:non_local_means",
        tasks=("gaussian_noise",),
        needs_sigma=True,
        source="Buades et al. 2011, by OpenCV",
    ),
    PeerRecord(
        name="bm3d",
        target=f"{_MODULE}:cbm3d",
        tasks=("gaussian_noise",),
        needs_sigma=True,
        licence="the package bm3d: non-commercial use alone",
        source="Dabov et al. 2007, by its authors' package",
    ),
    PeerRecord(
        name="dark_channel",
        target=f"{_MODULE}:dehaze_by_dark_channel",
        tasks=("haze", "cdd11/haze"),
        source="He et al. 2009, refined by the guided filter",
    ),
    PeerRecord(
        name="clahe",
        target=f"{_MODULE}:equalise_locally",
        tasks=("low_light", "cdd11/low"),
        source="Zuiderveld 1994, by OpenCV",
    ),
    PeerRecord(
        name="histogram_equalisation",
        target=f"{_MODULE}:equalise_globally",
        tasks=("low_light", "cdd11/low"),
        source="luma of YCrCb, by OpenCV",
    ),
):
    PEERS.register(_record)

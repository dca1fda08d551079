"""What a figure was computed by: named protocols, each with its source. A figure without one says little.

`None` in a field means that the source does not say it. What a protocol leaves open is measured as `UINT8` has it.
"""

from dataclasses import dataclass, replace
from typing import Literal

from ldrestore.errors import UnknownNameError
from ldrestore.metrics.ssim import WANG, SsimWindow

Colour = Literal["rgb", "y_limited", "y_full"]

SKIMAGE_UNIFORM = SsimWindow(kind="uniform", size=7, has_sample_covariance=True)
"""scikit-image's default: 7 x 7 equal weights, variances of a sample."""
SKIMAGE_GAUSSIAN = SsimWindow(has_sample_covariance=True)
"""scikit-image's with `gaussian_weights=True`, and its other defaults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How pictures are brought together and what is computed of them."""

    name: str
    """As `--protocol` takes it."""
    summary: str
    """One line."""
    source: str
    """Where it is from."""
    metrics: tuple[str, ...] = ("psnr", "ssim")
    """What is computed unless metrics are named."""
    colour: Colour = "rgb"
    """What PSNR and SSIM are computed of: RGB, or BT.601 luma of limited (MATLAB, BasicSR) or full range. The other
    metrics look at RGB."""
    luma_rounding: Literal["uint8", "none"] = "none"
    """Whether luma is rounded to whole levels before it is compared, as MATLAB's `rgb2ycbcr` gives it of 8-bit RGB."""
    border: int = 0
    """Pixels cut away at each side before PSNR and SSIM."""
    multiple: int = 1
    """Both pictures are cut, at their centres, to sides of a multiple of this before anything is computed."""
    resize: None = None
    """Pictures are compared as they are; what a source resizes first is not reproduced."""
    rounding: Literal["uint8", "none"] = "uint8"
    """Whether values are rounded to 8 bits before they are compared; finished 8-bit files are so anyway."""
    data_range: float = 255.0
    """Peak of PSNR and scale of SSIM, after pictures are brought to it; it changes nothing but rounding errors."""
    ssim_window: SsimWindow = WANG
    """Of SSIM and MS-SSIM."""
    ssim_channels: Literal["mean"] = "mean"
    """SSIM of several channels is the mean of theirs."""
    psnr_mean: Literal["mean of PSNRs"] = "mean of PSNRs"
    """Over pictures; the other way is the PSNR of the mean error."""
    psnr_cap: float = 60.0
    """In dB: what a picture counts at most in a mean, so that equal pictures do not make it infinite."""
    gt_mean: Literal[False] = False
    """The result's brightness is never scaled to that of the ground truth, as some low-light papers do (25 dB where
    there are 21)."""
    noise: str | None = None
    """How noisy inputs are made: clipping, truncation, seeding."""
    jpeg: str | None = None
    """Decoder and version that JPEG files are read by, where the source says."""
    lpips: str = "RGB scaled to [-1, 1], whole picture; alex unless the name says vgg"
    """Trunk and range of LPIPS."""
    niqe: str = "luma of MATLAB's rgb2gray, blocks of 96, no border cut"
    """Luma, block and crop of NIQE."""
    split: str | None = None
    """Which pictures the figures of the source are of."""


UINT8 = Protocol(
    name="uint8",
    summary="RGB of 8-bit files, whole pictures; SSIM with the Gaussian window of its paper",
    source="this project's own figures; Wang et al. 2004 for SSIM",
    noise="x + sigma n, clipped and rounded to 8 bits; draws by file name and recipe",
)
"""What is taken unless another is named."""

_PROMPTIR = replace(
    UINT8,
    name="promptir",
    summary="PromptIR, AdaIR, AirNet: RGB, centre cut to a multiple of 16, SSIM of 7 x 7 equal weights",
    source="evaluation code of PromptIR and AdaIR: scikit-image on floats clipped to [0, 1], data range 1",
    multiple=16,
    rounding="none",
    data_range=1.0,
    ssim_window=SKIMAGE_UNIFORM,
    noise="clip(x + sigma n, 0, 255) truncated to 8 bits; numpy seed 0 once a run, sigma 15, 25, 50 one after the "
    "other, files in the order of os.listdir",
    split="BSD68, Rain100L, SOTS outdoor (500 hazy, 492 clear); five tasks: sigma 25 alone, GoPro, LOL-v1",
)

_SUPER_RESOLUTION = replace(
    UINT8,
    summary="",
    source="BasicSR and MATLAB: luma of limited range, as many pixels cut at each side as the factor",
    colour="y_limited",
)

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        UINT8,
        _PROMPTIR,
        replace(_PROMPTIR, name="adair", summary="AdaIR: as promptir"),
        replace(
            _PROMPTIR,
            name="moce_ir",
            summary="MoCE-IR: RGB, centre cut to a multiple of 16, Gaussian SSIM of scikit-image, LPIPS-VGG",
            source="evaluation code of MoCE-IR: scikit-image with gaussian_weights=True; LPIPS-VGG, normalize=True",
            metrics=("psnr", "ssim", "lpips_vgg"),
            ssim_window=SKIMAGE_GAUSSIAN,
            noise="clip(x + sigma n, 0, 255) truncated to 8 bits; seed 0, files sorted, one loader a sigma",
        ),
        replace(
            UINT8,
            name="instructir",
            summary="InstructIR: RGB, centre cut to a multiple of 16, floats that are not clipped, Gaussian SSIM",
            source="evaluation code of InstructIR: its own PSNR in torch, SSIM of pytorch_msssim, 11 x 11",
            multiple=16,
            rounding="none",
            data_range=1.0,
            noise="noisy pictures stored on disk (CBSD68_15 and so on)",
            split="CBSD68, Rain100L, SOTS, LOL, GoPro",
        ),
        replace(
            UINT8,
            name="restormer_denoise",
            summary="Restormer, Gaussian denoising: RGB of 8-bit files, whole pictures",
            source="evaluation scripts of Restormer: 8-bit PNG, then PSNR; the input keeps its float noise",
            metrics=("psnr",),
            noise="x + sigma n, neither clipped nor rounded; numpy seed 0 for each picture",
        ),
        replace(
            UINT8,
            name="restormer_derain",
            summary="Restormer, deraining: PSNR and SSIM of MATLAB's luma",
            source="Deraining/evaluate_PSNR_SSIM.m of Restormer: rgb2ycbcr of 8-bit RGB, whose luma has whole levels; "
            "SSIM over the windows that lie whole in the picture, K 0.01 and 0.03, L 255",
            colour="y_limited",
            luma_rounding="uint8",
            split="Rain100L, Rain100H, Test100, Test1200, Test2800; the mean of the five sets' means",
        ),
        replace(
            UINT8,
            name="cdd11",
            summary="CDD11 after OneRestore: scikit-image on 8-bit RGB, nothing cut",
            source="evaluation of OneRestore: scikit-image on 8-bit RGB, its default window",
            ssim_window=SKIMAGE_UNIFORM,
            split="200 test pictures, 11 degradations",
        ),
        replace(
            _PROMPTIR,
            name="moce_ir_cdd11",
            summary="MoCE-IR on CDD11: as moce_ir, but nothing is cut",
            source="evaluation code of MoCE-IR, whose loader of CDD11 has its cut commented out",
            metrics=("psnr", "ssim", "lpips_vgg"),
            multiple=1,
            ssim_window=SKIMAGE_GAUSSIAN,
            noise="none is added",
            split="200 test pictures, 11 degradations",
        ),
        replace(
            UINT8,
            name="mperceiver",
            summary="MPerceiver: PSNR, SSIM, LPIPS and FID; the paper names neither colour nor window",
            source="arXiv 2312.02918, section 4: metrics are named without their settings, so that RGB is assumed",
            metrics=("psnr", "ssim", "lpips", "fid"),
        ),
        replace(
            UINT8,
            name="unildiff",
            summary="UniLDiff: pyiqa's metrics; PSNR and SSIM of luma in full range, centre cut to a multiple of 16",
            source="evaluation code of UniLDiff over pyiqa, whose luma has full range, 1.32 dB below MATLAB's; its "
            "script's mix-up of RGB and BGR is not reproduced",
            metrics=("psnr", "ssim", "lpips", "dists", "niqe", "iqa:clipiqa", "iqa:musiq", "iqa:maniqa"),
            colour="y_full",
            multiple=16,
        ),
        replace(
            UINT8,
            name="osediff",
            summary="OSEDiff: PSNR and SSIM of luma in limited range, LPIPS-alex, DISTS, NIQE as pyiqa's",
            source="evaluation of OSEDiff: y_limited for PSNR and SSIM, the rest by pyiqa",
            metrics=("psnr", "ssim", "lpips", "dists", "niqe"),
            colour="y_limited",
        ),
        *(
            replace(
                _SUPER_RESOLUTION,
                name=f"super_resolution_x{scale}",
                summary=f"Enlargement by {scale}: luma of limited range, {scale} pixels cut at each side",
                border=scale,
            )
            for scale in (2, 3, 4, 8)
        ),
    )
}
"""By name."""


def find_protocol(name: str) -> Protocol:
    """The protocol of a name.

    Raises:
        UnknownNameError: nobody has registered it.
    """
    if name not in PROTOCOLS:
        raise UnknownNameError("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]

"""What medical slices suffer from: few photons in computed tomography, and few lines of k-space in MRI.

A slice is grey. Both degradations act on the mean of the three channels and add what they change to each channel alike,
so that a grey slice stays grey and a coloured picture keeps its colours.
"""

from collections.abc import Iterator

import cv2
import numpy as np

from ldrestore.degradations.transfer import clipped

PATH_OF_WHITE = 8.0
"""Line integral of the attenuation along the diagonal of a white picture; 35 cm of water absorb about 7."""

REFERENCE_VIEWS, REFERENCE_DETECTORS = 720, 724
"""Views and detector elements of the slice of 512 x 512 pixels whose noise every picture gets; see `ct_low_dose`."""

MAX_VIEWS = 720

OVERSAMPLING = 4
"""Places a detector element that back-projection tells apart; taking the nearest is four times as fast as between."""

MAX_SINOGRAM_SIDE = 160
"""Line integrals only weigh the noise: those of larger pictures are taken from them shrunk to this side."""


def ct_low_dose_parameters(severity: float) -> dict[str, float]:
    """From 80 000 photons a detector element down to 250, in equal ratios; electronic noise of a few photons."""
    return {"photons": 10.0 ** (4.9 - 2.5 * severity), "electronic": 3.0}


def ct_low_dose(image: np.ndarray, *, photons: float, electronic: float, generator: np.random.Generator) -> np.ndarray:
    """Computed tomography with few photons: the picture plus the noise that filtered back-projection makes of it.

    Code values stand for attenuation. Its line integrals p in a parallel beam attenuate `photons` to exp(-p) photons;
    counts are Poisson with Gaussian electronic noise, as in Leuschner et al. 2019, LoDoPaB-CT
    (https://arxiv.org/abs/1910.01113), and what they err by, -log(counts / photons) - p, is back-projected through the
    ramp filter with a Hann window (Kak and Slaney 1988, Principles of Computerized Tomographic Imaging, chapter 3).
    Reconstruction is linear: this is the difference of the two reconstructions, with and without noise, and has no
    other error of theirs. Noise is correlated, stronger behind absorbing matter and streaked where counts run out.

    At a fixed dose a finer grid is noisier. Here all sizes have the noise of a slice of 512 x 512 pixels, so that a
    crop is as noisy as the whole.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        photons: Mean count of a detector element with nothing in the beam, above 0.
        electronic: Standard deviation of the electronic noise in counts, at least 0.
        generator: Source of first angle, photons and noise.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    height, width = image.shape[:2]
    num_detectors = int(np.ceil(np.hypot(height, width))) + 2
    num_views = int(np.clip(num_detectors // 2, 60, MAX_VIEWS))
    angles = generator.uniform(0, np.pi) + np.arange(num_views) * np.pi / num_views
    integrals = line_integrals(image.mean(axis=2), angles, num_detectors=num_detectors)  # (views, detectors)
    integrals *= PATH_OF_WHITE / num_detectors
    counts = generator.poisson(photons * np.exp(-integrals)).astype(np.float32)
    counts += np.float32(electronic) * generator.standard_normal(counts.shape, dtype=np.float32)
    error = -np.log(np.maximum(counts, 0.5) / np.float32(photons)) - integrals
    noise = back_projected(ramp_filtered(error), angles, height=height, width=width)
    noise *= REFERENCE_DETECTORS / PATH_OF_WHITE * np.sqrt(num_views / REFERENCE_VIEWS)
    return clipped(image + noise[..., None])


def line_integrals(slice_: np.ndarray, angles: np.ndarray, *, num_detectors: int) -> np.ndarray:
    """Radon transform in a parallel beam.

    Args:
        slice_: (H, W) float32.
        angles: (V,) in radians; at 0 the detectors lie along the rows and count along the columns.
        num_detectors: N, detector elements one pixel wide, centred.

    Returns:
        (V, N) float32, in units of value times pixel.
    """
    height, width = slice_.shape
    shrink = min(1.0, MAX_SINOGRAM_SIDE / max(height, width))
    if shrink < 1:
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        slice_ = cv2.resize(slice_, size, interpolation=cv2.INTER_AREA)
    num_coarse = max(1, round(num_detectors * shrink))
    sinogram = np.empty((len(angles), num_coarse), np.float32)
    for view, (cosine, sine) in enumerate(_directions(angles)):
        # A detector's t and a place s along its ray meet the slice at x = t cos - s sin, y = t sin + s cos.
        rotation = np.array([[cosine, -sine], [sine, cosine]])
        matrix = _centred(rotation, source=slice_.shape, target=(num_coarse, num_coarse))
        turned = cv2.warpAffine(slice_, matrix, (num_coarse, num_coarse), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        sinogram[view] = turned.sum(axis=0) / shrink
    return cv2.resize(sinogram, (num_detectors, len(angles)), interpolation=cv2.INTER_LINEAR)


def ramp_filtered(sinogram: np.ndarray) -> np.ndarray:
    """Each view through the ramp filter of Ramachandran and Lakshminarayanan, with a Hann window: (V, N) float32."""
    num_detectors = sinogram.shape[1]
    length = 2 ** int(np.ceil(np.log2(2 * num_detectors)))
    places = np.fft.fftfreq(length, 1 / length)
    response = np.zeros(length)  # Kak and Slaney 1988, Eq. 3.61
    response[0] = 0.25
    is_odd = places % 2 == 1
    response[is_odd] = -1 / (np.pi * places[is_odd]) ** 2
    hann = 0.5 + 0.5 * np.cos(2 * np.pi * np.fft.rfftfreq(length))
    spectrum = np.fft.rfft(sinogram, length, axis=1) * (np.fft.rfft(response).real * hann)
    return np.fft.irfft(spectrum, length, axis=1)[:, :num_detectors].astype(np.float32)


def back_projected(sinogram: np.ndarray, angles: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """Smear filtered views back over the slice, scaled as the inverse of `line_integrals`: (V, N) to (H, W) float32."""
    num_fine = OVERSAMPLING * sinogram.shape[1]
    fine = cv2.resize(sinogram, (num_fine, len(angles)), interpolation=cv2.INTER_LINEAR)
    total = np.zeros((height, width), np.float32)
    for view, (cosine, sine) in enumerate(_directions(angles)):
        rotation = OVERSAMPLING * np.array([[cosine, sine], [0.0, 0.0]])  # t = x cos + y sin
        matrix = _centred(rotation, source=(1, num_fine), target=(height, width))
        total += cv2.warpAffine(
            fine[view : view + 1], matrix, (width, height), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        )
    return total * np.float32(np.pi / len(angles))


def _directions(angles: np.ndarray) -> Iterator[tuple[float, float]]:
    """Cosine and sine of each angle."""
    return zip(np.cos(angles).tolist(), np.sin(angles).tolist(), strict=True)


def _centred(rotation: np.ndarray, *, source: tuple[int, ...], target: tuple[int, int]) -> np.ndarray:
    """A map from target to source about the centres of both, each (height, width): (2, 3) for `cv2.warpAffine`."""
    middle_of_source = np.array([source[1] - 1, source[0] - 1]) / 2
    middle_of_target = np.array([target[1] - 1, target[0] - 1]) / 2
    return np.column_stack([rotation, middle_of_source - rotation @ middle_of_target])


def mri_undersample_parameters(severity: float) -> dict[str, float]:
    """Acceleration 1, 2.8 and 8 at severity 0, 0.5 and 1, in equal ratios; fully sampled centre as in fastMRI."""
    acceleration = 8.0**severity
    return {"acceleration": acceleration, "centre": 0.32 / acceleration}


def mri_undersample(
    image: np.ndarray, *, acceleration: float, centre: float, generator: np.random.Generator
) -> np.ndarray:
    """Magnetic resonance imaging with too few phase-encoding lines: the magnitude of the zero-filled reconstruction.

    The random Cartesian masks of Zbontar et al. 2018, fastMRI (https://arxiv.org/abs/1811.08839): columns of k-space
    in the centre are all kept, of the others as many at random as the acceleration leaves. The object has a smooth
    random phase, as coils and field give it, so that k-space has no symmetry that would fill it.

    Args:
        image: (H, W, 3) float32 in [0, 1].
        acceleration: All lines over kept lines, at least 1.
        centre: Share of the lines, the lowest frequencies, that are always kept, in [0, 1].
        generator: Source of lines and phase.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    magnitude = image.mean(axis=2)
    mask = kept_lines(image.shape[1], acceleration=acceleration, centre=centre, generator=generator)
    phase = smooth_phase(*magnitude.shape, generator=generator)
    lines = np.fft.fft(magnitude * phase, axis=1) * np.fft.ifftshift(mask)  # along columns nothing is missing
    change = np.abs(np.fft.ifft(lines, axis=1)).astype(np.float32) - magnitude
    return clipped(image + change[..., None])


def kept_lines(num_lines: int, *, acceleration: float, centre: float, generator: np.random.Generator) -> np.ndarray:
    """Which lines of k-space are measured: (L,) bool, the lowest frequency in the middle, L // 2."""
    num_kept = max(1, round(num_lines / acceleration))
    num_centre = min(num_kept, max(1, round(num_lines * centre)))
    first = num_lines // 2 - num_centre // 2
    mask = np.zeros(num_lines, bool)
    mask[first : first + num_centre] = True
    others = np.flatnonzero(~mask)
    mask[generator.choice(others, size=num_kept - num_centre, replace=False)] = True
    return mask


def smooth_phase(height: int, width: int, *, generator: np.random.Generator) -> np.ndarray:
    """Unit complex numbers (H, W) whose phase is a random quadratic surface of about one radian."""
    rows, columns = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    weights = generator.normal(0, 0.7, size=5)
    terms = (rows, columns, rows * columns, rows**2, columns**2)
    return np.exp(1j * sum(weight * term for weight, term in zip(weights, terms, strict=True))).astype(np.complex64)

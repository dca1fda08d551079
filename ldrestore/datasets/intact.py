"""Clean pictures that look damaged and are not, made from photographs: they must come back as they are.

Night scenes, dark objects, silhouettes, film grain, drawings, and screens with text.
"""

from collections.abc import Callable, Set
from dataclasses import dataclass, fields

import cv2
import numpy as np

from ldrestore.degradations.wide.depth import depth_along_edges
from ldrestore.degradations.wide.light import pools_of_light
from ldrestore.errors import ConfigError
from ldrestore.structures import CLEAN

_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_PLAIN,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_COMPLEX_SMALL,
)

_LETTERS = "etaoinshrdlucmfwypvbgkqjxzETAOINSHRDLUCM0123456789.,:;-()%/+=?!"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntactShares:
    """How often each kind of intact picture is drawn, relative to the others."""

    night: float = 1.0
    """Two to six stops darker, lamps, points of light."""
    dark: float = 1.0
    """Dark objects: a darker tone for the whole picture."""
    silhouette: float = 0.5
    """Black things before a bright ground."""
    grain: float = 0.5
    """Film grain, a part of it in black and white."""
    drawing: float = 0.5
    """Few flat colours, with or without outlines, or lines alone."""
    screen: float = 0.7
    """Windows, buttons and text."""
    flat: float = 0.6
    """Matte things close by: little contrast, neither black nor white; haze looks alike, but has light in it."""

    def __post_init__(self) -> None:
        """Check the shares."""
        shares = [getattr(self, field.name) for field in fields(self)]
        if min(shares) < 0 or not sum(shares):
            raise ConfigError(f"shares of intact pictures must not be negative, and one above 0, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class IntactConfig:
    """Intact pictures in the place of photographs."""

    weight: float = 0.0
    """Relative frequency of undamaged ones, beside the weights of the recipes."""
    under_damage: float = 0.0
    """Share of the damaged pictures that are made of intact ones, in [0, 1]; darkened pictures are left out, since
    nothing would tell the darkness that is meant from the other."""
    shares: IntactShares = IntactShares()
    """How often each kind is drawn."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.weight < 0 or not 0 <= self.under_damage <= 1:
            raise ConfigError(
                f"intact: expected weight >= 0 and under_damage in [0, 1], got {self.weight} and {self.under_damage}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DarkeningConfig:
    """Another tone upon clean pictures before the damage: collections are brighter and flatter than people's rooms."""

    probability: float
    """Share of the pictures, in [0, 1]."""
    gamma: tuple[float, float] = (0.8, 2.4)
    """Range of the exponent on the code values, above 0, drawn uniformly."""
    names: tuple[str, ...] = ()
    """Only pictures with one of these degradations (a training form counts as what it widens), and "clean" for those
    that are left as they are; empty for all."""
    black_point: float = 0.0
    """Share of these pictures, in [0, 1], whose darkest parts become black before: crops of photographs often have no
    black, whole rooms and streets do, and haze is told by its lack."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        low, high = self.gamma
        if not 0 <= self.probability <= 1 or not 0 <= self.black_point <= 1 or not 0 < low <= high:
            raise ConfigError(
                "darkening: expected probability and black_point in [0, 1] and gamma > 0, low first, "
                f"got {self.probability}, {self.black_point}, {self.gamma}"
            )

    def applies_to(self, names: Set[str]) -> bool:
        """Whether pictures with these degradations are meant; none for a clean one."""
        return not self.names or not (names or {CLEAN}).isdisjoint(self.names)

    def toned(self, picture: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """A clean picture, (H, W, 3) uint8, with the tone drawn for it."""
        if self.black_point > 0 and generator.random() < self.black_point:
            picture = with_black_point(picture, amount=float(generator.uniform(0.6, 1.0)))
        if generator.random() < self.probability:
            picture = with_gamma(picture, float(generator.uniform(*self.gamma)))
        return picture


def with_gamma(picture: np.ndarray, gamma: float) -> np.ndarray:
    """Code values to the power gamma: (H, W, 3) uint8 to the same."""
    table = np.rint(255 * np.linspace(0, 1, 256) ** gamma).astype(np.uint8)
    return cv2.LUT(picture, table)


def with_black_point(picture: np.ndarray, *, amount: float) -> np.ndarray:
    """Stretch a picture until its darkest hundredth is black, or on the way there.

    Args:
        picture: (H, W, 3) uint8.
        amount: How far, in [0, 1].

    Returns:
        (H, W, 3) uint8.
    """
    darkest = amount * min(float(np.percentile(picture[::4, ::4].mean(axis=2), 1)), 200.0)
    table = np.rint(np.clip((np.arange(256) - darkest) / (255 - darkest), 0, 1) * 255).astype(np.uint8)
    return cv2.LUT(picture, table)


def draw_intact(picture: np.ndarray, shares: IntactShares, generator: np.random.Generator) -> np.ndarray:
    """An intact picture made from a photograph.

    Args:
        picture: (H, W, 3) uint8, RGB.
        shares: How often each kind is drawn.
        generator: Source of the kind and of all that it leaves open.

    Returns:
        (H, W, 3) uint8.
    """
    weights = np.array([getattr(shares, name) for name in KINDS])
    name = list(KINDS)[generator.choice(len(KINDS), p=weights / weights.sum())]
    image = KINDS[name](picture.astype(np.float32) / 255, generator)
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def _night(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Night: little light, of lamps, and some of the lamps in the picture, with a glow."""
    height, width = image.shape[:2]
    stops = generator.uniform(2.0, 6.0)
    pools = pools_of_light(height, width, reach=2.0 ** (stops * generator.uniform(0.3, 1.0)), generator=generator)
    exposure = np.float32(2.0**-stops) * (1 + pools)
    lamp = np.exp(generator.normal((0.15, 0.0, -0.25), 0.15))
    sky = np.exp(generator.normal((-0.1, 0.0, 0.1), 0.1))
    share = np.minimum(pools, np.float32(1))
    tint = [exposure * (np.float32(a) * share + np.float32(b) * (1 - share)) for a, b in zip(lamp, sky, strict=True)]
    light = cv2.multiply(cv2.pow(image, 2.2), cv2.merge(tint))
    if generator.random() < 0.6:
        light = light + _points_of_light(height, width, generator)
    return cv2.pow(np.clip(light, 0, 1), 1 / 2.2)


def _points_of_light(height: int, width: int, generator: np.random.Generator) -> np.ndarray:
    """Lamps and windows, brighter than white, and their glow: (H, W, 3) float32, linear."""
    canvas = np.zeros((height, width, 3), np.float32)
    for _ in range(generator.integers(1, 16)):
        place = (int(generator.integers(width)), int(generator.integers(height)))
        colour = np.exp(generator.normal((0.2, 0.0, -0.4), 0.3)) * generator.uniform(0.5, 4.0)
        if generator.random() < 0.7:
            cv2.circle(canvas, place, int(generator.integers(1, 5)), colour.tolist(), -1, cv2.LINE_AA)
        else:
            corner = (place[0] + int(generator.integers(2, 14)), place[1] + int(generator.integers(2, 10)))
            cv2.rectangle(canvas, place, corner, (0.3 * colour).tolist(), -1)
    glow = cv2.GaussianBlur(cv2.resize(canvas, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), (0, 0), 5)
    return canvas + np.float32(0.25) * cv2.resize(glow, (width, height), interpolation=cv2.INTER_LINEAR)


def _dark(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Things that are dark, or a low key: a gamma, a gain, or both."""
    image = cv2.pow(image, generator.uniform(1.2, 3.0))
    return image * np.float32(generator.uniform(0.3, 1.0)) if generator.random() < 0.5 else image


def _silhouette(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """What is dark, or in front, is black; the ground keeps its light or is brighter."""
    if generator.random() < 0.5:
        ground = depth_along_edges(image, generator=generator)
    else:
        ground = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 1.0)
    edge = np.quantile(ground[::4, ::4], generator.uniform(0.3, 0.7))
    lit = np.clip((ground - np.float32(edge)) * np.float32(generator.uniform(4, 20)) + np.float32(0.5), 0, 1)
    black = np.float32(generator.uniform(0.0, 0.12))
    bright = cv2.pow(image, generator.uniform(0.5, 1.0))
    return cv2.multiply(bright, cv2.merge([black + (1 - black) * lit] * 3))


def _grain(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Film grain, largest in the mid-tones, fine or coarse; half of the pictures in black and white or sepia."""
    height, width = image.shape[:2]
    if generator.random() < 0.5:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        tone = np.exp(generator.normal(0, 1) * np.array([0.06, 0.0, -0.1])) if generator.random() < 0.3 else np.ones(3)
        image = cv2.merge([grey * np.float32(factor) for factor in tone])
    grain: np.ndarray = generator.standard_normal((height, width), dtype=np.float32)
    grain = cv2.GaussianBlur(grain, (0, 0), generator.uniform(0.35, 1.2))
    grain = grain * np.float32(generator.uniform(2.5, 12) / 255 / max(float(grain.std()), 1e-3))
    middle = np.float32(0.4) + np.float32(2.4) * image * (1 - image)
    return image + cv2.multiply(cv2.merge([grain] * 3), middle)


def _drawing(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Flat colours with or without outlines, or lines on paper."""
    codes = np.rint(image * 255).astype(np.uint8)
    smooth = cv2.medianBlur(codes, int(generator.choice((3, 5, 7))))
    grey = cv2.cvtColor(smooth, cv2.COLOR_RGB2GRAY)
    lines = cv2.Canny(grey, int(generator.integers(30, 80)), int(generator.integers(80, 180)))
    if generator.random() < 0.5:
        lines = cv2.dilate(lines, np.ones((2, 2), np.uint8))
    ink = (np.float32(1) - cv2.blur(lines, (2, 2)).astype(np.float32) / 255)[..., None]
    if generator.random() < 0.35:
        paper = (
            generator.uniform(0.8, 1.0, 3).astype(np.float32) if generator.random() < 0.5 else np.ones(3, np.float32)
        )
        return paper * ink
    steps = int(generator.integers(3, 9))
    flat = np.rint(smooth.astype(np.float32) / 255 * steps) / np.float32(steps)
    return flat * ink if generator.random() < 0.7 else flat


def _flat(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Neither black nor white: a part of the range of values, below what air light has."""
    darkest = generator.uniform(0.04, 0.3)
    span = generator.uniform(0.12, 0.58 - darkest)
    return np.float32(darkest) + np.float32(span) * image


def _screen(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A page or a desktop: grounds, boxes, lines of text, perhaps the photograph in a window."""
    height, width = image.shape[:2]
    is_dark = generator.random() < 0.35
    ground = generator.uniform(0.0, 0.2) if is_dark else generator.uniform(0.85, 1.0)
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = np.clip(255 * (ground + generator.normal(0, 0.02, 3)), 0, 255)
    for _ in range(generator.integers(0, 7)):
        left, top = int(generator.integers(width)), int(generator.integers(height))
        corner = (left + int(generator.integers(8, width + 8)), top + int(generator.integers(6, height // 2 + 8)))
        colour = _colour(generator, share=0.5)
        cv2.rectangle(canvas, (left, top), corner, colour, -1 if generator.random() < 0.6 else 1)
    if generator.random() < 0.4:
        top, left = int(generator.integers(height // 2 + 1)), int(generator.integers(width // 2 + 1))
        bottom, right = top + height // 2, left + width // 2
        canvas[top:bottom, left:right] = np.rint(image[top:bottom, left:right] * 255)
    for _ in range(generator.integers(1, 4)):
        _write_block(canvas, is_dark=is_dark, generator=generator)
    return canvas.astype(np.float32) / 255


def _colour(generator: np.random.Generator, *, share: float, grey: tuple[float, float] = (0.0, 1.0)) -> list[float]:
    """Any colour with this probability, otherwise a grey of a range in [0, 1]: code values of 8 bits."""
    if generator.random() < share:
        return (255 * generator.random(3)).tolist()
    return [255 * float(generator.uniform(*grey))] * 3


def _write_block(canvas: np.ndarray, *, is_dark: bool, generator: np.random.Generator) -> None:
    """Write some lines of meaningless text onto a canvas (H, W, 3) uint8, in place."""
    height, width = canvas.shape[:2]
    font, size = _FONTS[generator.integers(len(_FONTS))], generator.uniform(0.3, 1.2)
    colour = _colour(generator, share=0.25, grey=(0.7, 1.0) if is_dark else (0.0, 0.35))
    left, top = int(generator.integers(-20, width // 2 + 1)), int(generator.integers(height))
    thickness = 1 + int(size > 0.8 and generator.random() < 0.4)
    for line in range(generator.integers(1, 9)):
        letters = generator.choice(list(_LETTERS + " " * 12), size=generator.integers(4, 36))
        place = (left, top + int(line * 34 * size))
        cv2.putText(canvas, "".join(letters), place, font, size, colour, thickness, cv2.LINE_AA)


KINDS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "night": _night,
    "dark": _dark,
    "silhouette": _silhouette,
    "grain": _grain,
    "drawing": _drawing,
    "screen": _screen,
    "flat": _flat,
}
"""Names of `IntactShares` to what makes them from a photograph: (H, W, 3) float32 in [0, 1] to about the same."""

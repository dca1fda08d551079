import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import IFDRational


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def pixels(rng):
    """(10, 12, 3) uint8, random."""
    return rng.integers(0, 256, (10, 12, 3)).astype(np.uint8)


@pytest.fixture
def smooth():
    """(23, 37, 3) uint8 without details, so that lossy codecs keep it closely."""
    rows, columns = np.mgrid[0:23, 0:37]
    return np.stack([rows * 10, columns * 6, 255 - rows * 4 - columns * 3], axis=2).astype(np.uint8)


@pytest.fixture(scope="session")
def profile():
    """An ICC profile."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="session")
def exif():
    """An EXIF block with texts, camera data and GPS, orientation 6."""
    block = Image.Exif()
    block[0x010F], block[0x8298] = "Maker", "An Artist"
    block[0x0112] = 6
    block[0x8769] = {0x9003: "2020:01:02 03:04:05", 0x829A: IFDRational(1, 100), 0x9286: b"note"}
    block[0x8825] = {1: "N", 2: (52.0, 30.0, 15.0)}
    return block.tobytes()


@pytest.fixture(scope="session")
def xmp():
    """An XMP packet, orientation 6."""
    return (
        b"<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x='adobe:ns:meta/'>"
        b'<rdf:Description tiff:Orientation="6" dc:creator="An Artist"/></x:xmpmeta>'
    )


@pytest.fixture
def picture():
    """Makes a seeded random picture of a shape and type."""

    def make(*shape, dtype=np.uint8, seed=0):
        values = np.random.default_rng(seed).random(shape, dtype=np.float32)
        top = {"uint8": 255, "uint16": 65535, "float32": 1}[np.dtype(dtype).name]
        return (values * top).astype(dtype)

    return make

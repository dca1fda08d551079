from PIL import Image

from ldrestore.images.metadata import Metadata, upright_metadata


def orientation_exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def test_exif_counts_before_xmp_and_undefined_values_are_upright():
    xmp = b'tiff:Orientation="3"'
    assert upright_metadata(Metadata(exif=orientation_exif(6), xmp=xmp))[1] == 6
    assert upright_metadata(Metadata(xmp=xmp))[1] == 3
    assert upright_metadata(Metadata(exif=orientation_exif(9)))[1] == 1
    assert upright_metadata(Metadata(exif=orientation_exif(0)))[1] == 1
    assert upright_metadata(Metadata(icc_profile=b"", exif=b"", xmp=b""))[0] == Metadata()

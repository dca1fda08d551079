import pytest

from ldrestore.images.xmp import upright_xmp, xmp_orientation


@pytest.mark.parametrize(
    "packet", [b'tiff:Orientation="6" x="6"', b"tiff:Orientation = '6'", b"<tiff:Orientation>6</tiff:Orientation>"]
)
def test_xmp_states_an_orientation_and_loses_it(packet):
    assert xmp_orientation(packet) == 6
    turned = upright_xmp(packet)
    assert turned == packet.replace(b"6", b"1", 1)
    assert upright_xmp(b"") is None

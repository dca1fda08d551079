import pytest

from ldrestore.images.xmp import EXTENSION, GAIN_MAP, VIDEO, sized_xmp, upright_xmp, without_promises, xmp_orientation


@pytest.mark.parametrize(
    "packet", [b'tiff:Orientation="6" x="6"', b"tiff:Orientation = '6'", b"<tiff:Orientation>6</tiff:Orientation>"]
)
def test_xmp_states_an_orientation_and_loses_it(packet):
    assert xmp_orientation(packet) == 6
    turned = upright_xmp(packet)
    assert turned == packet.replace(b"6", b"1", 1)
    assert upright_xmp(b"") is None


CAMERA = b'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/"'


def packet(attributes, elements=b""):
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description '
        + attributes
        + b' dc:creator="An Artist">'
        + elements
        + b"<dc:title>kept</dc:title></rdf:Description></rdf:RDF></x:xmpmeta>"
    )


MOTION = b'GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion = \'1\' GCamera:MicroVideoOffset="40000"'
CONTAINER = (
    b"<Container:Directory><rdf:Seq><rdf:li rdf:parseType='Resource'><Container:Item Item:Mime='image/jpeg' "
    b"Item:Semantic='Primary'/></rdf:li><rdf:li><Container:Item Item:Semantic='%s' Item:Length='9'/></rdf:li></rdf:Seq>"
    b"</Container:Directory>"
)


@pytest.mark.parametrize(
    ("given", "promises"),
    [
        (packet(CAMERA + b" " + MOTION), (VIDEO,)),
        (packet(b"", b"<GCamera:MotionPhoto>1</GCamera:MotionPhoto>"), (VIDEO,)),
        (packet(b'OpCamera:MotionPhotoOwner="oplus"'), (VIDEO,)),
        (packet(b"", CONTAINER % b"MotionPhoto"), (VIDEO,)),
        (packet(b"", CONTAINER % b"GainMap"), (GAIN_MAP,)),
        (packet(b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"'), (GAIN_MAP,)),
        (
            packet(b'xmlns:h="http://ns.adobe.com/hdr-gain-map/1.0/" h:Version="1.0"', b"<h:Gamma><x/></h:Gamma>"),
            (GAIN_MAP,),
        ),
        (packet(b"", b"<HDRGainMap:HDRGainMapVersion>65536</HDRGainMap:HDRGainMapVersion>"), (GAIN_MAP,)),
        (packet(b'xmpNote:HasExtendedXMP="0123456789ABCDEF"'), (EXTENSION,)),
        (packet(CAMERA + b" " + MOTION, CONTAINER % b"GainMap"), (VIDEO, GAIN_MAP)),
    ],
)
def test_promises_of_what_is_gone_are_removed(given, promises):
    left, found = without_promises(given)
    assert set(found) == set(promises)
    for word in (b"MotionPhoto", b"MicroVideo", b"hdr-gain-map", b"GainMap", b"Container", b"xmpNote"):
        assert word not in left
    assert b'dc:creator="An Artist"' in left
    assert b"<dc:title>kept</dc:title>" in left
    assert left.count(b"<rdf:") == left.count(b"</rdf:")


@pytest.mark.parametrize(
    "given", [packet(CAMERA + b' GCamera:BurstID="7"'), packet(b""), b"", b"<GCamera:MotionPhoto>"]
)
def test_a_packet_without_promises_stays(given):
    assert without_promises(given) == (given, ())
    assert without_promises(None) == (None, ())


def test_dimensions_become_those_of_the_picture():
    given = b'exif:PixelXDimension="9" tiff:ImageLength = "8" <exif:PixelYDimension>7</exif:PixelYDimension>'
    assert sized_xmp(given, width=30, height=20) == (
        b'exif:PixelXDimension="30" tiff:ImageLength = "20" <exif:PixelYDimension>20</exif:PixelYDimension>'
    )
    assert sized_xmp(None, width=1, height=1) is None

import io

import pytest
from PIL import Image

from ldrestore.errors import ImageTooLargeError, MetadataLossWarning
from ldrestore.images.files import read_photo
from ldrestore.images.photoshop import SEGMENT_HEADER, iptc_of_resources, resources_of_iptc


def jpeg(smooth, **options):
    stream = io.BytesIO()
    Image.fromarray(smooth).save(stream, "JPEG", **options)
    return stream.getvalue()


def segment(marker, data):
    return b"\xff" + marker + (len(data) + 2).to_bytes(2, "big") + data


def test_a_video_behind_a_samsung_picture_is_told(tmp_path, smooth):
    (tmp_path / "a.jpg").write_bytes(jpeg(smooth) + b"\0\0\x30\x0aMotionPhoto_Data" + bytes(99) + b"SEFT")
    with pytest.warns(MetadataLossWarning, match="the video of a motion photo: left out of the result"):
        photo = read_photo(tmp_path / "a.jpg")
    assert photo.pixels.shape == smooth.shape


def test_an_extension_of_the_packet_is_told_once(tmp_path, smooth, recwarn):
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description xmpNote:HasExtendedXMP="0A"/></x:xmpmeta>'
    extension = segment(b"\xe1", b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 40 + b"<GDepth/>")
    (tmp_path / "a.jpg").write_bytes(jpeg(smooth, xmp=packet, extra=extension))
    photo = read_photo(tmp_path / "a.jpg")
    assert b"HasExtendedXMP" not in photo.xmp
    assert [str(warning.message) for warning in recwarn] == ["an extension of the XMP packet: left out of the result"]


@pytest.mark.parametrize(
    ("marker", "data", "loss"),
    [
        (b"\xe2", b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0", "a gain map"),
        (b"\xe2", b"MPF\0II*\0\x08\0\0\0\0\0", "previews and other pictures behind the first one"),
        (b"\xeb", b"JP\0\1\0\0\0\1\0\0\0\x20jumbc2pa", r"content credentials \(C2PA\), which hold for .* as it was"),
    ],
)
def test_what_only_a_segment_announces_is_told(tmp_path, smooth, marker, data, loss):
    (tmp_path / "a.jpg").write_bytes(jpeg(smooth, extra=segment(marker, data)))
    with pytest.warns(MetadataLossWarning, match=f"{loss}: left out of the result"):
        read_photo(tmp_path / "a.jpg")


def test_a_side_that_libjpeg_does_not_decode_is_named(tmp_path, smooth):
    data = bytearray(jpeg(smooth))
    place = data.index(b"\xff\xc0") + 7
    data[place : place + 2] = (65_535).to_bytes(2, "big")
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(ImageTooLargeError, match=r"announces 65535x23 pixels, and JPEGs of more than 65500 a side"):
        read_photo(tmp_path / "a.jpg")


def test_comments_and_iptc_are_found_in_any_order(tmp_path, smooth):
    other = b"8BIM\x03\xed\0\0\0\0\0\x10" + bytes(16)
    resources = segment(b"\xed", SEGMENT_HEADER + other + resources_of_iptc(b"\x1c\x02\x19\0\1x"))
    extra = segment(b"\xfe", b"first") + resources + segment(b"\xfe", b"second")
    (tmp_path / "a.jpg").write_bytes(jpeg(smooth, extra=extra))
    blocks = read_photo(tmp_path / "a.jpg").blocks
    assert blocks.comments == (b"first", b"second")
    assert blocks.iptc == b"\x1c\x02\x19\0\1x"


def test_iptc_of_several_segments_is_whole(tmp_path, smooth):
    title, caption = b"\x1c\x02\x05\0\1t", b"\x1c\x02\x78\0\1c"
    apart = b"".join(segment(b"\xed", SEGMENT_HEADER + resources_of_iptc(record)) for record in (title, caption))
    (tmp_path / "apart.jpg").write_bytes(jpeg(smooth, extra=apart))
    assert read_photo(tmp_path / "apart.jpg").blocks.iptc == title + caption
    whole = resources_of_iptc(b"\x1c\x02\x78\x0f\xa0" + b"x" * 4000)
    parts = [whole[:3000], whole[3000:]]
    split = b"".join(segment(b"\xed", SEGMENT_HEADER + part) for part in parts)
    (tmp_path / "split.jpg").write_bytes(jpeg(smooth, extra=split))
    assert len(read_photo(tmp_path / "split.jpg").blocks.iptc) == 4005
    assert iptc_of_resources(whole[:3000]) is None


def test_a_profile_of_which_a_part_is_missing_is_told(tmp_path, smooth):
    part = segment(b"\xe2", b"ICC_PROFILE\0\1\2" + bytes(100))
    (tmp_path / "a.jpg").write_bytes(jpeg(smooth, extra=part))
    with pytest.warns(UserWarning, match="a part of the colour profile is missing"):
        assert read_photo(tmp_path / "a.jpg").icc_profile is None


def test_resources_are_read_past_others_and_damaged_ones_are_none():
    named = b"8BIM\x04\x00\x03abc\0\0\0\1x\0"
    assert iptc_of_resources(named + resources_of_iptc(b"abc")) == b"abc"
    assert iptc_of_resources(named) is None
    for damaged in (None, b"", b"8BIM", b"8BIM\x04\x04", b"8BIM\x04\x04\xff", b"other"):
        assert iptc_of_resources(damaged) is None

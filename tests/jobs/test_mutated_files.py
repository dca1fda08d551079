"""Mutated picture files through what `ldrestore restore` does: plan, limits, claim, read, restore, write, record.

Each is restored or refused with a typed error; nothing crashes, hangs, is half-written, or takes memory without bound.
"""

import io
import resource
import struct
import time
import warnings
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from ldrestore.errors import printable
from ldrestore.images.files import read_photo
from ldrestore.images.photoshop import SEGMENT_HEADER, resources_of_iptc
from ldrestore.jobs.limits import within_limits
from ldrestore.jobs.outcome import Status
from ldrestore.jobs.plan import plan_jobs, target_name
from ldrestore.jobs.request import RestoreRequest
from ldrestore.jobs.restoring import RestoreWorker
from ldrestore.jobs.runner import run_jobs
from ldrestore.options import FastRestoreOptions
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import create_regressor

MAX_PIXELS = 10**6
MAX_SECONDS = 20.0
"""Of the processor, for one file; what hangs otherwise is caught by the test's own limit."""
MAX_GROWTH_KB = 10**6
"""How much the process may grow over all files, in 2^10 bytes."""
XMP = (
    b"<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:Description "
    b'tiff:Orientation="6" exif:PixelXDimension="40" GCamera:MotionPhoto="1" hdrgm:Version="1.0"/></x:xmpmeta>'
)
IPTC = b"\x1c\x02\x19\0\5beach\x1c\x02x\0\7Caption"


def exif_block():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A], exif[0x011B] = 6, "Maker", 300.0, 300.0
    exif[0x8769] = {0x9003: "2020:01:02 03:04:05", 0xA002: 40, 0xA003: 30, 0x927C: b"note" * 9}
    exif[0x8825] = {1: "N", 2: (52.0, 30.0, 15.0)}
    return exif.tobytes()


def smooth(height=30, width=40):
    """(H, W, 3) uint8 with a little of everything."""
    rows, columns = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(0).integers(0, 30, (height, width, 3))
    return (np.stack([rows * 7, columns * 5, 200 - rows * 4], axis=2) + noise).clip(0, 255).astype(np.uint8)


def encoded(name, mode, **options):
    stream = io.BytesIO()
    Image.fromarray(smooth()).convert(mode).save(stream, name, **options)
    return stream.getvalue()


def encoded_tiff(values, **options):
    stream = io.BytesIO()
    tags = [(274, 3, 1, 6, True), (700, 1, len(XMP), XMP, True), (33723, 7, len(IPTC), IPTC, True)]
    tags.append((33550, 12, 3, (0.5, 0.5, 0.0), True))
    tifffile.imwrite(stream, values, extratags=tags, resolution=(300, 300), resolutionunit=2, **options)
    return stream.getvalue()


def intact_files():
    """Files of every format, each with metadata, by name."""
    exif, profile = exif_block(), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    app13 = SEGMENT_HEADER + resources_of_iptc(IPTC)
    extra = b"\xff\xed" + struct.pack(">H", len(app13) + 2) + app13
    jpeg = {"exif": exif, "xmp": XMP, "icc_profile": profile, "extra": extra, "comment": b"hello", "dpi": (300, 300)}
    texts = PngInfo()
    texts.add_text("Title", "My cat")
    texts.add_text("Long", "x" * 200, zip=True)
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
    texts.add(b"gAMA", struct.pack(">I", 100_000))
    png = {"exif": exif, "icc_profile": profile, "pnginfo": texts, "dpi": (300, 300)}
    webp = {"exif": exif, "xmp": XMP, "icc_profile": profile}
    deep = smooth().astype(np.uint16) * 257
    files = {
        "jpeg": encoded("JPEG", "RGB", **jpeg),
        "jpeg progressive": encoded("JPEG", "RGB", progressive=True, **jpeg),
        "jpeg grey": encoded("JPEG", "L", **jpeg),
        "jpeg cmyk": encoded("JPEG", "CMYK", exif=exif),
        "png": encoded("PNG", "RGBA", **png),
        "png palette": encoded("PNG", "P", transparency=3, **png),
        "png one bit": encoded("PNG", "1", **png),
        "webp": encoded("WEBP", "RGB", **webp),
        "webp lossless": encoded("WEBP", "RGBA", lossless=True, **webp),
        "tiff": encoded_tiff(smooth(), photometric="rgb"),
        "tiff deflated": encoded_tiff(deep, photometric="rgb", compression="zlib", predictor=True, rowsperstrip=7),
        "tiff float": encoded_tiff(smooth() / np.float32(255), photometric="rgb", tile=(16, 16)),
        "tiff deep cmyk": encoded_tiff(np.dstack([deep, deep[..., :1]]), photometric="separated"),
        "tiff palette": encoded("TIFF", "P", exif=exif),
        "tiff lzw": encoded("TIFF", "RGB", compression="tiff_lzw", dpi=(300, 300)),
        "tiff fax": encoded("TIFF", "1", compression="group4"),
    }
    return files | heif_files(exif)


def heif_files(exif):
    """HEIF where its package is installed."""
    try:
        import pillow_heif
    except ImportError:
        return {}
    stream = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(smooth(64, 80))).save(stream, exif=exif, xmp=XMP)
    return {"heif": stream.getvalue(), "heif again": stream.getvalue()}


def with_sums(data):
    """A PNG whose checksums fit, so that decoders look at what was changed."""
    parts, position = [data[:8]], 8
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if end > len(data):
            break
        parts += [data[position : end - 4], struct.pack(">I", zlib.crc32(data[position + 4 : end - 4]))]
        position = end
    return b"".join([*parts, data[position:]])


SUFFIXES = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "tiff": ".tif", "heif": ".heic"}
"""Of the formats that the names of the intact files begin with."""
KINDS = ("flip", "flip", "flip", "bit", "bit", "cut", "truncate", "insert", "zero", "copy")


def mutated(data, kinds, *, seed, is_png):
    """A file changed at places all over it: hypothesis alone would choose the first bytes too often."""
    changed, rng = bytearray(data), np.random.default_rng(seed)
    for kind in kinds:
        place, value, length = (
            int(rng.integers(low, high)) for low, high in ((0, len(changed) + 1), (1, 256), (1, 40))
        )
        if kind == "truncate":
            del changed[max(16, place) :]
        elif kind == "cut":
            del changed[place : place + length]
        elif kind == "insert":
            changed[place:place] = bytes([value]) * length
        elif kind == "copy":
            changed[place:place] = changed[place // 2 : place // 2 + length]
        elif kind == "zero":
            changed[place : place + length] = bytes(len(changed[place : place + length]))
        elif place < len(changed):
            changed[place] ^= value if kind == "flip" else 1 << value % 8
    return with_sums(bytes(changed)) if is_png else bytes(changed)


class Contract:
    """The file contract over many files, and what became of them."""

    def __init__(self, folder):
        network = create_regressor("nafnet", width=2, middle_blk_num=1, enc_blk_nums=[1], dec_blk_nums=[1]).eval()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.zero_()  # what is added to the input is nothing
        FastRestorePipeline(regressor=network).save_pretrained(folder / "model")
        options = FastRestoreOptions()
        self.worker = RestoreWorker(
            RestoreRequest(model=str(folder / "model"), device="cpu", options=options, max_pixels=MAX_PIXELS)
        )
        self.source, self.results = folder / "in", folder / "out"
        self.source.mkdir()
        self.counts = Counter()
        self.slowest = 0.0

    def restore(self, data, name, *, keeps_format=False):
        """One file through it.

        Args:
            data: The file.
            name: Its format's, and whatever follows a space.
            keeps_format: Whether the result is of that format too, and not of one that keeps every bit.
        """
        start = time.process_time()
        for folder in (self.source, self.results):  # of a file that failed this contract, too
            for path in folder.glob("*"):
                path.unlink()
        kind = name.partition(" ")[0]
        suffix = SUFFIXES[kind] if keeps_format or kind == "tiff" else ".png"
        source = self.source / f"result{suffix}"
        source.write_bytes(data)
        outcome = self._outcome()
        written = sorted(path.name for path in self.results.iterdir()) if self.results.exists() else []
        assert not outcome.notes
        if outcome.status is Status.FAILED:
            self.counts[kind, outcome.error] += 1
            assert "unexpected" not in outcome.reason, outcome.reason
            assert source.name in outcome.reason and outcome.reason.count("; ") >= 1  # a reason and a remedy
            assert "\n" not in printable(outcome.reason) and written == []
        else:
            self.counts[kind, "restored"] += 1
            result = target_name(Path(source.name), None)
            assert outcome.status is Status.DONE and written == [result.name, f"{result.name}.json"]
            again = read_photo(self.results / result)
            photo = read_photo(source, max_pixels=MAX_PIXELS)
            assert_whole(again, photo, is_lossy=suffix in (".jpg", ".webp"))
        self.slowest = max(self.slowest, time.process_time() - start)

    def _outcome(self):
        """What becomes of the one file of the input folder."""
        plan = plan_jobs(
            [str(self.source)], str(self.results), picture_format=None, is_recursive=False, may_overwrite=False
        )
        plan = within_limits(plan)
        (outcome,) = (*plan.settled, *run_jobs(plan.jobs, self.worker))
        return outcome


def assert_whole(again, photo, *, is_lossy):
    assert (again.height, again.width, again.alpha is None) == (photo.height, photo.width, photo.alpha is None)
    assert again.pixels.shape == photo.pixels.shape
    if not is_lossy:
        np.testing.assert_array_equal(again.pixels, photo.pixels)


def fates_by_format(counts):
    """A line a format, and one for all: how many were restored, and refused by which error."""
    lines = []
    for kind in [*SUFFIXES, None]:
        fates = Counter()
        for (counted, fate), count in counts.items():
            if kind in (counted, None):
                fates[fate] += count
        counted_fates = ", ".join(f"{count} {fate}" for fate, count in fates.most_common())
        lines.append(f"{kind or 'all'}: {fates.total()} files, {counted_fates}")
    return "\n".join(lines)


def run(folder, num_files):
    """So many mutants through the contract."""
    files, contract = intact_files(), Contract(folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @settings(
        max_examples=num_files,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        name=st.sampled_from(sorted(files)),
        kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=3),
        seed=st.integers(0, 2**32 - 1),
        has_sums=st.booleans(),
        keeps_format=st.booleans(),
    )
    def put_through(name, kinds, seed, has_sums, keeps_format):
        data = mutated(files[name], kinds, seed=seed, is_png=name.startswith("png") and has_sums)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # damaged metadata are left out with a warning
            contract.restore(data, name, keeps_format=keeps_format)
        if contract.counts.total() % 500 == 0:
            print(fates_by_format(contract.counts).splitlines()[-1], flush=True)

    put_through()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    growth = most - before
    num_restored = sum(count for (_, fate), count in contract.counts.items() if fate == "restored")
    print(fates_by_format(contract.counts))
    print(
        f"slowest {contract.slowest:.2f} s of the processor; {most >> 10} MiB at most, {growth >> 10} more than before"
    )
    assert contract.counts.total() >= 0.9 * num_files
    assert num_restored >= contract.counts.total() / 3
    assert contract.slowest < MAX_SECONDS
    assert growth < MAX_GROWTH_KB


def test_intact_files_keep_their_pixels(tmp_path):
    contract = Contract(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the video that the packets promise
        for name, data in intact_files().items():
            contract.restore(data, name)
            contract.restore(data, name, keeps_format=True)
    assert set(contract.counts) == {(name.partition(" ")[0], "restored") for name in intact_files()}
    assert contract.counts.total() == 2 * len(intact_files())


def test_an_empty_step_changes_nothing_and_sums_fit():
    data = intact_files()["png"]
    assert with_sums(data) == data
    assert mutated(data, [], seed=0, is_png=True) == data


@pytest.mark.timeout(600)
def test_600_mutated_files_are_restored_or_refused(tmp_path):
    run(tmp_path, 600)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_10000_mutated_files_are_restored_or_refused(tmp_path):
    run(tmp_path, 10_000)

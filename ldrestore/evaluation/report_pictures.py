"""The pictures of `report.html`: inside the page as far as its size allows, the others in a folder beside it."""

import base64
import contextlib
import io
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from ldrestore.errors import ImageFileError, InputError
from ldrestore.evaluation.results import OutputRow, PictureRow, Results, located
from ldrestore.evaluation.stored_files import KEY_LENGTH, link_or_copy, write_bytes
from ldrestore.images.files import read_photo

MAX_EMBEDDED = 24_000_000
"""Bytes of pictures in the page itself; as base64 they take a third more."""
BESIDE_FOLDER = "report_pictures"
"""What does not fit lies here, under the hash of its pixels."""
_MEDIA = {"PNG": ("png", "image/png"), "JPEG": ("jpg", "image/jpeg"), "WEBP": ("webp", "image/webp")}
_KEPT_NAME = re.compile(rf"[0-9a-f]{{{KEY_LENGTH}}}\.(png|jpg|webp)")
_ORIENTATION = 274
"""Tag of EXIF; 1 is upright."""


def shown_key(sha256: str) -> str:
    """What the page calls a picture, by the hash of its pixels: equal pictures are held once."""
    return sha256[:KEY_LENGTH]


def gather_pictures(
    results: Results, out_dir: Path, *, data_root: Path | None = None, max_embedded: int = MAX_EMBEDDED
) -> dict[str, str]:
    """Address of every picture that the page shows, as it may stand in `src`.

    The first pictures of all datasets come first, so that some of each are inside the page. Files of a folder from an
    earlier report that are shown no more are removed.

    Args:
        results: Whose pictures.
        out_dir: The folder of the benchmark, and of the page.
        data_root: The folder that sets lie in.
        max_embedded: The most bytes inside the page, before base64.

    Returns:
        `shown_key` to a data URL, or to a path below the folder of the page; what cannot be read is left out.

    Raises:
        ImageWriteError: the folder beside the page cannot be written.
    """
    addresses: dict[str, str] = {}
    beside = out_dir / BESIDE_FOLDER
    left, is_full = max_embedded, False
    for key, path in _sources(results, out_dir, data_root):
        if key in addresses:
            continue
        try:
            suffix, media, content = _shown(path, is_own=path.is_relative_to(out_dir))
        except (ImageFileError, OSError):
            continue
        size = path.stat().st_size if content is None else len(content)
        is_full = is_full or size > left
        if is_full:
            _put_beside(path, content, beside / f"{key}.{suffix}")
            addresses[key] = f"{BESIDE_FOLDER}/{key}.{suffix}"
            continue
        left -= size
        encoded = base64.b64encode(path.read_bytes() if content is None else content).decode("ascii")
        addresses[key] = f"data:{media};base64,{encoded}"
    _remove_others(beside, {address.rpartition("/")[2] for address in addresses.values() if address[:5] != "data:"})
    return addresses


def shown_output(rows: list[OutputRow]) -> OutputRow | None:
    """The result that is shown of several seeds: that of the first one; None where none was made."""
    return next((row for row in rows if row.path is not None), None)


def outputs_by_picture(results: Results) -> dict[tuple[str, str], dict[str, list[OutputRow]]]:
    """Dataset and picture to contestant to its rows, one a seed, in the order of the results."""
    rows: dict[tuple[str, str], dict[str, list[OutputRow]]] = defaultdict(lambda: defaultdict(list))
    for row in results.outputs:
        rows[row.dataset, row.picture][row.contestant].append(row)
    return rows


def _sources(results: Results, out_dir: Path, data_root: Path | None) -> Iterator[tuple[str, Path]]:
    """Key and file of every picture, in turn of the datasets; those below a data root that is not given left out."""
    by_dataset: dict[str, list[PictureRow]] = defaultdict(list)
    for row in results.pictures:
        by_dataset[row.dataset].append(row)
    outputs = outputs_by_picture(results)
    for picture in itertools.chain.from_iterable(itertools.zip_longest(*by_dataset.values())):
        if picture is None:
            continue
        made = [shown_output(rows) for rows in outputs[picture.dataset, picture.name].values()]
        named = [
            (picture.gt_sha256, picture.gt),
            (picture.lq_sha256, picture.lq),
            *((row.sha256, row.path) for row in made if row is not None),
        ]
        for sha256, path in named:
            if sha256 is not None and path is not None:
                with contextlib.suppress(InputError):
                    yield shown_key(sha256), located(path, out_dir=out_dir, data_root=data_root)


def _shown(path: Path, *, is_own: bool) -> tuple[str, str, bytes | None]:
    """Suffix, media type and content of a picture as a browser shows its encoded values; None for the file itself.

    Raises:
        ImageFileError, OSError: it cannot be read.
    """
    media = _MEDIA["PNG"] if is_own and _is_plain_png(path) else _media_as_it_is(path)
    if media is not None:
        return (*media, None)
    stream = io.BytesIO()
    read_photo(path).to_pil().save(stream, format="PNG", compress_level=4)
    return (*_MEDIA["PNG"], stream.getvalue())


def _media_as_it_is(path: Path) -> tuple[str, str] | None:
    """Suffix and media type of a file that every browser shows as we read it: 8 bits, upright, without a profile."""
    with Image.open(path) as picture:
        is_plain = picture.mode in ("L", "RGB", "RGBA") and "icc_profile" not in picture.info
        if not is_plain or picture.getexif().get(_ORIENTATION, 1) != 1:
            return None
        media = _MEDIA.get(str(picture.format))
    return None if media == _MEDIA["PNG"] and _is_deep(path) else media


def _is_plain_png(path: Path) -> bool:
    """Whether a PNG that the harness stored, without profile or orientation, has 8 bits and grey, RGB or RGBA values.

    Told by its header alone (RFC 2083, 4.1.1): Pillow decodes a whole PNG to look for its orientation.
    """
    with path.open("rb") as file:
        head = file.read(26)
    return head[:8] == b"\x89PNG\r\n\x1a\n" and head[24:25] == b"\x08" and head[25:] in (b"\x00", b"\x02", b"\x06")


def _is_deep(path: Path) -> bool:
    """Whether a PNG has 16 bits a value, of which a page shows 8 (RFC 2083, 4.1.1)."""
    with path.open("rb") as file:
        return file.read(25)[24:] == b"\x10"


def _put_beside(path: Path, content: bytes | None, place: Path) -> None:
    """Put a picture into the folder beside the page: a link to the stored file where the disk has links.

    Raises:
        ImageWriteError: it cannot be written.
    """
    if place.is_file():
        return
    if content is None:
        link_or_copy(path, place)
    else:
        write_bytes(place, content)


def _remove_others(folder: Path, names: set[str]) -> None:
    """Remove what an earlier report put into the folder, and this one does not show."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if _KEPT_NAME.fullmatch(path.name) and path.name not in names:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()  # fails, as it should, where anything is left

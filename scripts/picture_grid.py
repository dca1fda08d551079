"""Grids of labelled pictures, and JPEG files that keep a size."""

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

MAX_BYTES = 400_000
"""Of a picture in the docs."""


def labelled(cells: list[tuple[str, Image.Image]], *, columns: int, gap: int = 4) -> Image.Image:
    """Pictures of one size in a grid, each with its label below."""
    width, height = cells[0][1].size
    font = ImageFont.load_default(size=13)
    rows = -(-len(cells) // columns)
    step_x, step_y = width + gap, height + gap + 18
    sheet = Image.new("RGB", (columns * step_x - gap, rows * step_y), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (label, picture) in enumerate(cells):
        left, top = (index % columns) * step_x, (index // columns) * step_y
        sheet.paste(picture.convert("RGB"), (left, top))
        draw.text((left + 2, top + height), label, fill="black", font=font)
    return sheet


def fitted(picture: Image.Image, *, width: int, height: int) -> Image.Image:
    """A picture shrunk or enlarged to fit into a white cell, in its middle."""
    scale = min(width / picture.width, height / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    cell = Image.new("RGB", (width, height), "white")
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    cell.paste(picture.convert("RGB").resize(size, Image.Resampling.LANCZOS), (left, top))
    return cell


def save_within(picture: Image.Image, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
    """Write a JPEG file at the best quality, from 92 down to 40, that keeps a size.

    Raises:
        ValueError: not even the lowest quality keeps it.
    """
    for quality in range(92, 39, -4):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= max_bytes:
            path.write_bytes(buffer.getvalue())
            return
    raise ValueError(
        f"{path.name} of {picture.width}x{picture.height} takes more than {max_bytes} bytes; make it smaller"
    )

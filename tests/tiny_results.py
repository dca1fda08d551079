"""Results of a benchmark made in code: small pictures, two restorers that are none, and names that would do harm."""

import numpy as np

from ldrestore.config import as_plain
from ldrestore.evaluation.results import ContestantRow, CostRow, DatasetRow, MetricRow, OutputRow, PictureRow, Results
from ldrestore.evaluation.stored_files import hash_of_photo, store_photo
from ldrestore.evaluation.summaries import summarised
from ldrestore.images.inputs import to_photo
from ldrestore.metrics.protocols import find_protocol
from ldrestore.metrics.psnr import psnr
from ldrestore.metrics.ssim import ssim

HOSTILE_PICTURE = "<img src=x onerror=harm()>"
HOSTILE_MODEL = "</script><script>harm()</script>"
HOSTILE_NOTE = "<svg onload=harm()> & {{data}} \u2028 `${harm()}`"
MIXES = {"smoother": 0.45, "bolder": 0.8}
"""How far each restorer goes from the damaged picture to the clean one; the bolder one harms small noise."""


def clean_picture(index, *, size=(64, 80)):
    """(H, W, 3) uint8: soft shading, some discs, and a chequerboard."""
    rows, columns = np.mgrid[: size[0], : size[1]] / size[0]
    rng = np.random.default_rng(index)
    base = rng.uniform(0.15, 0.75, 3)
    pixels = base + 0.25 * np.stack([rows, columns, 1 - rows], axis=-1)
    for _ in range(7):
        centre, radius = rng.uniform(0, 1.2, 2), rng.uniform(0.08, 0.3)
        inside = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2
        pixels[inside] = rng.uniform(0, 1, 3)
    chequer = (np.floor(rows * 16) + np.floor(columns * 16)) % 2
    pixels[(rows > 0.7) & (columns < 0.4)] = chequer[(rows > 0.7) & (columns < 0.4)][:, None]
    return np.rint(255 * pixels.clip(0, 1)).astype(np.uint8)


def tiny_results(out_dir, *, num_pictures=4, sigmas=(10, 40), is_hostile=False, size=(64, 80), has_gt=True):
    """Write pictures below `out_dir`, and give the summarised results of the input and two restorers."""
    names = {"smoother": "smoother", "bolder": HOSTILE_MODEL if is_hostile else "bolder"}
    pictures, outputs = [], []
    for sigma in sigmas:
        for index in range(num_pictures):
            name = HOSTILE_PICTURE if is_hostile and index == 0 else f"scene_{index}"
            gt = clean_picture(index, size=size)
            noise = np.random.default_rng((sigma, index)).standard_normal(gt.shape)
            lq = np.clip(np.rint(gt + sigma * noise), 0, 255).astype(np.uint8)
            place = f"pictures/noise_{sigma}/{index}"
            row = _picture(out_dir, place, lq, gt if has_gt else None)
            pictures.append(PictureRow(dataset=f"noise_{sigma}", name=name, cluster=f"scene_{index}", **row))
            made = {"input": lq} | {names[key]: _mixed(lq, gt, key, index) for key in MIXES}
            outputs += [_output(out_dir, key, f"noise_{sigma}", name, made[key], gt, index, has_gt) for key in made]
    return summarised(_results(names, pictures, outputs, sigmas, HOSTILE_NOTE if is_hostile else "A note."))


def _mixed(lq, gt, key, index):
    """What a restorer makes: a part of the way, and a cast that the bolder one leaves on every second picture."""
    cast = 9 if key == "bolder" and index % 2 else 0
    mixed = lq + MIXES[key] * (gt.astype(float) - lq) + cast
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _picture(out_dir, place, lq, gt):
    row = {"width": lq.shape[1], "height": lq.shape[0], "gt": None, "gt_sha256": None}
    for part, pixels in (("lq", lq), ("gt", gt)):
        if pixels is not None:
            photo = to_photo(pixels)
            row |= {part: f"{place}-{part}.png", f"{part}_sha256": hash_of_photo(photo)}
            store_photo(photo, out_dir / row[part])
    return row


def _output(out_dir, contestant, dataset, picture, pixels, gt, index, has_gt):
    kind = {"input": 0, "smoother": 1}.get(contestant, 2)
    path = f"outputs/{kind}/{dataset}/{index}.png"
    store_photo(to_photo(pixels), out_dir / path)
    scores = {"psnr": psnr(pixels, gt), "ssim": ssim(pixels, gt)} if has_gt else {}
    return OutputRow(
        contestant=contestant,
        dataset=dataset,
        picture=picture,
        path=path,
        sha256=hash_of_photo(to_photo(pixels)),
        seconds=(None, 0.01, 0.05)[kind],
        degradations={"gaussian_noise": 0.93, "haze": 0.02} if kind == 2 else None,
        scores=scores,
        environment="e",
    )


def _metric(name, digits):
    return MetricRow(
        name=name,
        compares="pairs",
        lower_is_better=False,
        digits=digits,
        source="a paper",
        version="1",
        weights_sha256=None,
    )


def _results(names, pictures, outputs, sigmas, note):
    kinds = {"input": "input", **dict.fromkeys(names.values(), "model")}
    return Results(
        suite="tiny",
        summary="Two restorers that are none, on pictures made in code.",
        ldrestore="0",
        protocol=as_plain(find_protocol("uint8")),
        environments={"e": {"machine": "any", "threads": 1}},
        averages={"all": [f"noise_{sigma}" for sigma in sigmas]},
        datasets=tuple(
            DatasetRow(
                name=f"noise_{sigma}",
                set="made",
                title="Made in code",
                task="gaussian_noise",
                making=f"gaussian_noise(sigma_255={sigma})",
                layout="none",
                num_pictures=len(pictures) // len(sigmas),
                num_published=None,
                terms="free",
            )
            for sigma in sigmas
        ),
        contestants=tuple(
            ContestantRow(name=name, kind=kind, options={}, identity="0" * 64, num_seeds=1, licence=None)
            for name, kind in kinds.items()
        ),
        metrics=(_metric("psnr", 2), _metric("ssim", 4)),
        pictures=tuple(pictures),
        outputs=tuple(outputs),
        costs=tuple(
            CostRow(
                contestant=name,
                seconds_per_megapixel=seconds,
                megapixels=0.26,
                repeats=3,
                peak_gigabytes=0.4,
                parameters=3_200_000,
                gigamacs=21.5,
                device="cpu",
                threads=1,
            )
            for name, seconds in zip(names.values(), (1.9, 14.2), strict=True)
        ),
        notes=(note,),
    )

"""Measure a restorer on a folder of clean pictures: every degradation of the first set, clean pictures, and speed.

    python scripts/measure_default.py KODAK24_FOLDER --model default --out docs/default_model

writes `measurements.json` and `measurements.md`. Protocol "uint8": the clean 8-bit picture x is degraded, clipped and
rounded to 8 bits, restored without being told what is wrong, rounded to 8 bits; PSNR over all RGB pixels of a picture
with a data range of 255, averaged over the pictures; the interval is a 95 % bootstrap interval of that mean. Gaussian
noise is x + sigma * n. The noise and all other draws of a picture depend on its file name alone.
"""

import argparse
import json
import statistics
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import torch

from ldrestore.degradations.recipes import apply_recipe, parse_recipe
from ldrestore.images.files import is_image_path, read_photo
from ldrestore.restorers import load_restorer

ROWS = (
    "gaussian_noise(sigma_255=15)",
    "gaussian_noise(sigma_255=25)",
    "gaussian_noise(sigma_255=50)",
    "poisson_noise",
    "real_noise",
    "motion_blur",
    "defocus_blur",
    "gaussian_blur",
    "rain",
    "snow",
    "haze",
    "raindrop",
    "low_light",
    "jpeg",
    "downscale",
)
"""Recipes measured at severity 0.5."""


def psnr(restored: np.ndarray, gt: np.ndarray) -> float:
    """PSNR in dB of two uint8 pictures over all channels, data range 255; equal ones give 100."""
    error = np.mean((restored.astype(np.float64) - gt.astype(np.float64)) ** 2)
    return 100.0 if error == 0 else float(10 * np.log10(255.0**2 / error))


def degraded(gt: np.ndarray, recipe: str, name: str) -> np.ndarray:
    """A clean (H, W, 3) uint8 picture degraded at severity 0.5 and rounded to 8 bits; seeded by the file's name."""
    generator = np.random.default_rng(zlib.crc32(f"{name}/{recipe}".encode()))
    lq = apply_recipe(gt.astype(np.float32) / 255, parse_recipe(recipe), severity=0.5, generator=generator)
    return np.rint(lq * 255).astype(np.uint8)


def interval(values: list[float], *, draws: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of the mean."""
    generator = np.random.default_rng(0)
    means = generator.choice(values, size=(draws, len(values))).mean(axis=1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def measure_quality(pipeline: torch.nn.Module, paths: list[Path]) -> list[dict[str, object]]:
    """One row a recipe, and one for clean pictures."""
    pictures = {path.name: read_photo(path).pixels for path in paths}
    table = []
    for recipe in (*ROWS, "clean"):
        before, after = [], []
        for name, gt in pictures.items():
            lq = gt if recipe == "clean" else degraded(gt, recipe, name)
            restored = pipeline(lq, output_type="np").images[0]
            before.append(psnr(lq, gt))
            after.append(psnr(np.rint(np.asarray(restored) * 255).astype(np.uint8), gt))
        low, high = interval(after)
        table.append(
            {
                "recipe": recipe,
                "pictures": len(pictures),
                "input_psnr": round(statistics.mean(before), 2),
                "restored_psnr": round(statistics.mean(after), 2),
                "interval": [round(low, 2), round(high, 2)],
                "worst_gain": round(min(b - a for a, b in zip(before, after, strict=True)), 2),
            }
        )
        print(table[-1], flush=True)
    return table


def measure_speed(pipeline: torch.nn.Module, paths: list[Path], *, repeats: int = 5) -> dict[str, float]:
    """Median seconds on a 1-megapixel picture, ours and OpenCV's non-local means in turn, and their ratio."""
    mosaic = np.concatenate([read_photo(path).pixels for path in paths[:3]], axis=1)
    picture = cv2.resize(mosaic, (1224, 817), interpolation=cv2.INTER_AREA)
    picture = degraded(picture, "gaussian_noise(sigma_255=25)", "speed")
    ours, peers = [], []
    pipeline(picture)
    for _ in range(repeats):
        start = time.perf_counter()
        cv2.fastNlMeansDenoisingColored(picture, None, 10, 10, 7, 21)
        peers.append(time.perf_counter() - start)
        start = time.perf_counter()
        pipeline(picture)
        ours.append(time.perf_counter() - start)
    seconds, peer_seconds = statistics.median(ours), statistics.median(peers)
    return {
        "threads": torch.get_num_threads(),
        "megapixels": round(picture.shape[0] * picture.shape[1] / 1e6, 3),
        "seconds": round(seconds, 3),
        "opencv_nlm_seconds": round(peer_seconds, 3),
        "ratio": round(statistics.median(a / b for a, b in zip(ours, peers, strict=True)), 3),
    }


def as_markdown(table: list[dict[str, object]], speed: dict[str, float]) -> str:
    """The measurements as a Markdown table and a line on speed."""
    lines = ["| degradation | input dB | restored dB | 95 % interval | worst picture's gain |", "|---|---|---|---|---|"]
    lines += [
        f"| {row['recipe']} | {row['input_psnr']} | **{row['restored_psnr']}** | "
        f"{row['interval'][0]} – {row['interval'][1]} | {row['worst_gain']:+} |"  # type: ignore[index]  # a pair
        for row in table
    ]
    lines += [
        "",
        f"Speed: {speed['seconds']} s for {speed['megapixels']} megapixels on {speed['threads']} CPU threads; OpenCV's "
        f"`fastNlMeansDenoisingColored` {speed['opencv_nlm_seconds']} s in the same run; ratio {speed['ratio']}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse the command line, measure, write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="clean pictures, e.g. Kodak24")
    parser.add_argument("--model", default="default")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    paths = sorted(path for path in arguments.folder.iterdir() if is_image_path(path))
    pipeline = load_restorer(arguments.model, device=arguments.device)
    pipeline.set_progress_bar_config(disable=True)
    speed = measure_speed(pipeline, paths)
    table = measure_quality(pipeline, paths)
    arguments.out.mkdir(parents=True, exist_ok=True)
    result = {"protocol": "uint8", "speed": speed, "rows": table}
    (arguments.out / "measurements.json").write_text(json.dumps(result, indent=2) + "\n")
    (arguments.out / "measurements.md").write_text(as_markdown(table, speed))


if __name__ == "__main__":
    main()

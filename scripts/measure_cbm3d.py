"""Measure CBM3D, told sigma, on the first four pictures of a folder, and store the results.

    python scripts/measure_cbm3d.py KODAK24_FOLDER --out docs/default_model/cbm3d.json

It takes half a minute a picture, so `measure_default.py` reads what is stored here; what is there already is kept.
Needs the extra `peers`: the package bm3d, whose licence allows non-commercial use alone.
"""

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ldrestore.datasets.compared_pairs import Pair, synthetic_pairs
from ldrestore.datasets.pictures import list_pictures
from ldrestore.evaluation.classical_peers import cbm3d
from ldrestore.metrics.psnr import MEAN_CAP, psnr
from ldrestore.records import hash_of_pixels

SIGMAS = (15, 25, 50)
"""Standard deviations of the noise in 8-bit units."""
NUM_PICTURES = 4


def recipe_of(sigma_255: int) -> str:
    """The recipe of one strength of noise."""
    return f"gaussian_noise(sigma_255={sigma_255})"


def stored_psnr(results: dict[str, Any], recipe: str, pair: Pair) -> float | None:
    """The stored PSNR of a noisy picture; None if there is none, or if it is of another picture."""
    entry = results.get("rows", {}).get(recipe, {}).get(pair.name)
    is_same = entry is not None and entry["lq_sha256"] == hash_of_pixels(pair.lq, None)
    return entry["psnr"] if is_same else None


def read_results(path: Path) -> dict[str, Any]:
    """What is stored; nothing if there is no file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def measure_pair(pair: Pair, *, sigma_255: int) -> dict[str, Any]:
    """Restore one picture: its hash, PSNR in dB and seconds."""
    start = time.perf_counter()
    restored = cbm3d(pair.lq, sigma_255=sigma_255)
    seconds = time.perf_counter() - start
    return {
        "lq_sha256": hash_of_pixels(pair.lq, None),
        "psnr": round(psnr(restored, pair.gt, cap=MEAN_CAP), 3),
        "seconds": round(seconds, 1),
    }


def main() -> None:
    """Parse the command line; measure what is not stored, saving after each picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="clean pictures, e.g. Kodak24")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to store the results in")
    arguments = parser.parse_args()
    results = {"rows": {}, **read_results(arguments.out), "package": f"bm3d {version('bm3d')}"}
    for sigma in SIGMAS:
        recipe = recipe_of(sigma)
        for pair in synthetic_pairs(list_pictures([arguments.folder])[:NUM_PICTURES], recipe):
            if stored_psnr(results, recipe, pair) is None:
                entry = measure_pair(pair, sigma_255=sigma)
                results["rows"].setdefault(recipe, {})[pair.name] = entry
                arguments.out.parent.mkdir(parents=True, exist_ok=True)
                arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
                print(recipe, pair.name, entry["psnr"], "dB", entry["seconds"], "s", flush=True)


if __name__ == "__main__":
    main()

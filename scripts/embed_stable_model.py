"""Put a trained small prior, and what was trained upon it, into the package as the embedded model of the stable track.

    python scripts/embed_stable_model.py runs/stable/tiny_unet_cpu/export runs/stable/tiny_adapters_rollout_cpu/export \
        --refiner runs/stable/tiny_refiner_cpu/export

The weights are rounded to float16, which halves the files; `StableRestorePipeline` computes in float32 unless told
otherwise. The new folder is loaded again and held against the rounded weights before it takes the place of the old one;
of that, the card stays as it is until it is written anew. Its ldrestore.json tells the SHA-256 of every weight file
that it was made of.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from ldrestore import __version__
from ldrestore.checkpoints.diffusion_folder import make_ready
from ldrestore.errors import LDRestoreError, WeightsError
from ldrestore.guides.loading_quietly import without_progress_bar
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
from ldrestore.systems.mperceiver_parts import MPERCEIVER_PARTS
from ldrestore.weights.file_names import ORIGIN_FILE
from ldrestore.weights.hashes import hash_of_file

NAME = "ldrestore-tiny-stable"
"""Of the model."""
TARGET = Path(__file__).resolve().parent.parent / "ldrestore" / "assets" / "ldrestore_tiny_stable"
"""Where it lies in the package."""
CARD = "README.md"
"""What stays of an earlier model."""
LARGEST_FILE = 15 * 2**20
"""Bytes that one file may have."""
LARGEST_MODEL = 16_000_000
"""Bytes that all files may have together, the card among them."""
PACKAGED = {".json", ".safetensors", ".md"}
"""Suffixes of the files that a wheel takes along."""
LEFTOVER = "max_length"
"""Of a tokenizer's settings: what a call asked for, no trait of the tokenizer."""
REFINER = "drm"
"""The part that a run of its own trains."""


def assemble(base: Path, adapters: Path, refiner: Path | None) -> StableRestorePipeline:
    """The pipeline of what training runs exported, in float32.

    Args:
        base: A whole base with CLIP's vision tower, as the U-Net's run exports it.
        adapters: A folder for each part of stage 1, the predictor among them.
        refiner: Has the refinement of the decoder in its folder "drm"; None for a model without.

    Raises:
        WeightsError: a part is missing or damaged, or two do not belong together.
    """
    pipeline = StableRestorePipeline.from_exports(
        base, adapters, *(() if refiner is None else (refiner,)), local_files_only=True
    )
    expected = [name for name in MPERCEIVER_PARTS.trained if name != REFINER or refiner is not None]
    missing = [name for name in expected if pipeline.components[name] is None]
    if missing:
        raise WeightsError(f"there is no {', no '.join(missing)}; name the folders that the runs exported")
    make_ready(pipeline.components, name=NAME)
    pipeline.register_to_config(_name_or_path=NAME)
    return pipeline


def embed(base: Path, adapters: Path, refiner: Path | None, target: Path) -> StableRestorePipeline:
    """Write the model, rounded to float16, in place of what lies at the target.

    Args:
        base: See `assemble`.
        adapters: The same.
        refiner: The same.
        target: Written anew, but for its card.

    Returns:
        The written model, loaded again.

    Raises:
        WeightsError: see `assemble`.
        ValueError: a weight does not fit into float16, or the files are too large; the target is left alone.
    """
    check_target(target)
    origin = {
        "architecture": "mperceiver",
        "source": "https://arxiv.org/abs/2312.02918",
        "trained_with": f"ldrestore {__version__}",
        "source_sha256": _hashes_of_exports(base, adapters, refiner),
        "weights_licence": "Apache-2.0",
    }
    write_model(assemble(base, adapters, refiner), target, origin=origin, load=StableRestorePipeline.from_pretrained)
    return StableRestorePipeline.from_pretrained(target)


def check_target(target: Path) -> None:
    """Refuse a folder with something else than a model.

    Raises:
        ValueError: it is one.
    """
    present = {path.name for path in target.iterdir()} if target.is_dir() else set()
    if present - {CARD} and "model_index.json" not in present:
        raise ValueError(f"{target} holds something else than a model; name another folder")


def write_model(
    pipeline: DiffusionPipeline,
    target: Path,
    *,
    origin: Mapping[str, Any],
    load: Callable[[Path], DiffusionPipeline],
) -> None:
    """Write a pipeline, rounded to float16, in place of what lies at the target, of which the card stays.

    Args:
        pipeline: In float32; is rounded in place.
        target: Where.
        origin: What its `ldrestore.json` tells.
        load: Loads the written folder, which is held against the rounded weights.

    Raises:
        ValueError: a weight does not fit into float16, or the files are too large; the target is left alone.
    """
    rounded = _round(pipeline)
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}") as folder:
        written = Path(folder) / target.name
        with without_progress_bar():
            pipeline.save_pretrained(written)
        (written / ORIGIN_FILE).write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")
        for path in written.glob("*/tokenizer_config.json"):
            _clean_tokenizer(path)
        if (target / CARD).is_file():
            shutil.copy(target / CARD, written / CARD)
        _check_files(written)
        _check_weights(load(written), rounded)
        _take_place(written, target, aside=Path(folder) / "old")


def weights_of(pipeline: DiffusionPipeline) -> dict[str, dict[str, Tensor]]:
    """Part to key to tensor."""
    networks = {name: part for name, part in pipeline.components.items() if isinstance(part, nn.Module)}
    return {name: part.state_dict() for name, part in networks.items()}


def _round(pipeline: DiffusionPipeline) -> dict[str, dict[str, Tensor]]:
    """Make all parts float16, in place, and give the rounded weights in float32.

    Raises:
        ValueError: a weight is too large for float16.
    """
    for name, part in pipeline.components.items():
        if isinstance(part, nn.Module):
            part.half()
            wrong = [key for key, weight in part.state_dict().items() if not weight.isfinite().all()]
            if wrong:
                raise ValueError(f"a weight of {name} does not fit into float16: {wrong[0]}")
    return {
        name: {key: weight.float() if weight.is_floating_point() else weight for key, weight in weights.items()}
        for name, weights in weights_of(pipeline).items()
    }


def _check_files(folder: Path) -> None:
    """Refuse what the package does not carry.

    Raises:
        ValueError: a file or all of them are too large, or of a kind that a wheel leaves out.
    """
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    for name, size in sizes.items():
        if size > LARGEST_FILE:
            raise ValueError(f"{name} has {size:,} bytes, more than {LARGEST_FILE:,}")
        if Path(name).suffix not in PACKAGED:
            raise ValueError(f"{name} is left out of the wheel, which takes {', '.join(sorted(PACKAGED))}")
    if sum(sizes.values()) > LARGEST_MODEL:
        raise ValueError(f"all files have {sum(sizes.values()):,} bytes, more than {LARGEST_MODEL:,}")


def _check_weights(loaded: DiffusionPipeline, rounded: dict[str, dict[str, Tensor]]) -> None:
    """Hold a loaded model against the weights that were meant, bit by bit.

    Raises:
        ValueError: one differs, is missing or left over, or is not in float32.
    """
    found = weights_of(loaded)
    if {name: list(weights) for name, weights in found.items()} != {
        name: list(weights) for name, weights in rounded.items()
    }:
        raise ValueError("loaded again, the model has other weights than it was written with")
    for name, weights in rounded.items():
        for key, weight in weights.items():
            if found[name][key].dtype != weight.dtype or not torch.equal(found[name][key], weight):
                raise ValueError(f"loaded again, {key} of {name} is not what was written")


def _take_place(written: Path, target: Path, *, aside: Path) -> None:
    """Put a finished folder where another may lie, which comes back if that fails or is interrupted.

    Raises:
        OSError: it does.
    """
    if not target.exists():
        written.rename(target)
        return
    try:
        target.rename(aside)
        written.rename(target)
    except BaseException:  # Ctrl-C, too: nobody else would bring the old one back
        if aside.exists() and not target.exists():
            aside.rename(target)
        raise


def _clean_tokenizer(path: Path) -> None:
    """Take the length that texts were last cut to out of a tokenizer's settings; its own limit stands beside it."""
    settings = json.loads(path.read_text(encoding="utf-8"))
    if settings.pop(LEFTOVER, None) is not None:
        path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _hashes_of_exports(base: Path, adapters: Path, refiner: Path | None) -> dict[str, str]:
    """SHA-256 of the weight files that were taken, by part and name; of two exports with a part, the later one's."""
    places = {name: base for name in MPERCEIVER_PARTS.frozen}
    for export in (adapters, refiner):
        if export is not None:
            places |= {name: export for name in MPERCEIVER_PARTS.trained if (export / name / "config.json").is_file()}
    files = [path for name, place in places.items() for path in sorted((place / name).glob("*.safetensors"))]
    return {f"{path.parent.name}/{path.name}": hash_of_file(path) for path in files}


def print_sizes(pipeline: DiffusionPipeline, folder: Path) -> None:
    """Print what there is now: parts, parameters and bytes."""
    sizes = {name: sum(weight.numel() for weight in part.values()) for name, part in weights_of(pipeline).items()}
    for name, size in sizes.items():
        print(f"{name:16} {size:>12,} numbers")
    parameters = sum(
        weight.numel()
        for part in pipeline.components.values()
        if isinstance(part, nn.Module)
        for weight in part.parameters()
    )
    files = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    print(f"{folder}: {parameters:,} parameters, {sum(files) / 1e6:.2f} MB, the largest file {max(files) / 1e6:.2f} MB")


def main() -> None:
    """Parse the command line and embed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path, help="folder of a whole base, as the U-Net's run exports it")
    parser.add_argument("adapters", type=Path, help="folder that the run of stage 1 exported")
    parser.add_argument("--refiner", type=Path, help="folder that the run of the refinement exported")
    parser.add_argument("--out", type=Path, default=TARGET, help=f"where to write; {TARGET.name} in the package")
    arguments = parser.parse_args()
    try:
        pipeline = embed(arguments.base, arguments.adapters, arguments.refiner, arguments.out)
    except (LDRestoreError, ValueError, OSError) as error:
        sys.exit(str(error))
    print_sizes(pipeline, arguments.out)
    print(f"knows {', '.join(pipeline.predictor.names)}; {'has' if pipeline.drm is not None else 'has no'} refinement")


if __name__ == "__main__":
    main()

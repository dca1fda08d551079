"""Put a trained small prior in SDXL's form, and what was trained upon it, into the package as the embedded XL model.

    python scripts/embed_xl_model.py runs/xl/tiny_unet_cpu/export runs/xl/tiny_fusion_rollout_cpu/export \
        runs/xl/tiny_experts_cpu/export

The exports are those of stage 1 and stage 2, whose averaged weights are rounded to float16, which halves the files;
`XLRestorePipeline` computes in float32 unless told otherwise. Where two hold the same part the later one counts: the
U-Net is that of stage 1, the autoencoder that of stage 2. The new folder is loaded again and held against the rounded
weights before it takes the place of the old one, of which the card stays. Its ldrestore.json tells the SHA-256 of every
weight file that it was made of, and how long each run was. What is larger than 16 MB with everything is refused.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from embed_stable_model import check_target, print_sizes, write_model

from ldrestore import __version__
from ldrestore.checkpoints.diffusion_folder import make_ready
from ldrestore.config import read_mapping
from ldrestore.errors import LDRestoreError, WeightsError
from ldrestore.pipelines.pipeline_xl_restore import XLRestorePipeline
from ldrestore.systems.unildiff_parts import UNILDIFF_PARTS
from ldrestore.weights.file_names import ORIGIN_FILE
from ldrestore.weights.hashes import hash_of_file

NAME = "ldrestore-tiny-xl"
"""Of the model."""
TARGET = Path(__file__).resolve().parent.parent / "ldrestore" / "assets" / "ldrestore_tiny_xl"
"""Where it lies in the package."""


def assemble_xl(base: Path, exports: Sequence[Path], *, steps: int = 20) -> XLRestorePipeline:
    """The pipeline of what training runs exported, in float32.

    Args:
        base: A whole base, as the prior's run exports it.
        exports: Of stage 1 and stage 2, in this order.
        steps: In which the model samples where a call says nothing.

    Raises:
        WeightsError: a part is missing or damaged, or two do not belong together.
    """
    pipeline = XLRestorePipeline.from_exports(base, *exports, local_files_only=True)
    missing = [name for name in ("daff", "daem") if pipeline.components[name] is None]
    if missing:
        raise WeightsError(f"there is no {', no '.join(missing)}; name the folders that both stages exported")
    make_ready(pipeline.components, name=NAME)
    pipeline.register_to_config(_name_or_path=NAME, steps=steps)
    return pipeline


def embed_xl(base: Path, exports: Sequence[Path], target: Path, *, steps: int = 20) -> XLRestorePipeline:
    """Write the model, rounded to float16, in place of what lies at the target.

    Args:
        base: See `assemble_xl`.
        exports: The same.
        target: Written anew, but for its card.
        steps: See `assemble_xl`.

    Returns:
        The written model, loaded again.

    Raises:
        WeightsError: see `assemble_xl`.
        ValueError: a weight does not fit into float16, or the files are too large; the target is left alone.
    """
    check_target(target)
    origin = {
        "architecture": "unildiff",
        "source": "Unified Latent Diffusion for Image Restoration (UniLDiff)",
        "trained_with": f"ldrestore {__version__}",
        "source_sha256": hashes_of_parts(base, exports),
        "runs": runs_of((base, *exports)),
        "weights_licence": "Apache-2.0",
    }
    write_model(assemble_xl(base, exports, steps=steps), target, origin=origin, load=XLRestorePipeline.from_pretrained)
    return XLRestorePipeline.from_pretrained(target)


def hashes_of_parts(base: Path, exports: Sequence[Path]) -> dict[str, str]:
    """SHA-256 of the weight files that are taken, by part and name.

    Args:
        base: Has what no export has.
        exports: Of two with a part the later one counts.
    """
    names = (*UNILDIFF_PARTS.frozen, *UNILDIFF_PARTS.trained)
    places = {
        name: next((each for each in (*reversed(exports), base) if (each / name).is_dir()), base) for name in names
    }
    files = [path for name, place in places.items() for path in sorted((place / name).glob("*.safetensors"))]
    return {f"{path.parent.name}/{path.name}": hash_of_file(path) for path in files}


def runs_of(exports: Sequence[Path]) -> list[dict[str, Any]]:
    """What the folders of runs tell, of those first that others began from; nothing of an export without its run.

    Args:
        exports: "export" in the folder of a run each, or a model that was embedded before, with the runs it tells.
    """
    found: dict[str, dict[str, Any]] = {}
    for export in exports:
        chain: list[dict[str, Any]] = []
        start: Path | None = export
        while start is not None and (start.parent / "config.yaml").is_file():
            config = read_mapping(start.parent / "config.yaml")
            chain.append(facts_of_run(start.parent, config))
            begun = config.get("init_from")
            start = None if begun is None else Path(begun)
        if start is not None and (start / ORIGIN_FILE).is_file():
            chain += reversed(read_mapping(start / ORIGIN_FILE)["runs"])
        found |= {one["run"]: one for one in reversed(chain)}
    return list(found.values())


def facts_of_run(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Name, trainer, steps that were done of each stage with batch and crop, learning rate and minutes of one run."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    rates = {line["step"]: line["samples_per_second"] for line in lines if "samples_per_second" in line}
    steps, stages, begin, seconds = sorted(rates), [], 0, 0.0
    for stage in config["stages"]:
        end = begin + stage["steps"]
        own = [step for step in steps if begin < step <= end]
        seconds += sum(
            (step - last) * stage["batch_size"] / rates[step] for last, step in zip([begin, *own], own, strict=False)
        )
        if own:
            sizes = {name: stage[name] for name in ("batch_size", "patch_size")}
            stages.append({"steps": own[-1] - begin, **sizes})
        begin = end
    return {
        "run": folder.name,
        "trainer": config["trainer"],
        "stages": stages,
        "learning_rate": config["optimizer"]["learning_rate"],
        "minutes": round(seconds / 60),
    }


def main() -> None:
    """Parse the command line and embed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path, help="folder of a whole base, as the prior's run exports it")
    parser.add_argument("exports", type=Path, nargs="+", help="folders that stage 1 and stage 2 exported")
    parser.add_argument("--out", type=Path, default=TARGET, help=f"where to write; {TARGET.name} in the package")
    parser.add_argument("--steps", type=int, default=20, help="in which the model samples unasked; default 20")
    arguments = parser.parse_args()
    try:
        pipeline = embed_xl(arguments.base, arguments.exports, arguments.out, steps=arguments.steps)
    except (LDRestoreError, ValueError, OSError) as error:
        sys.exit(str(error))
    print_sizes(pipeline, arguments.out)


if __name__ == "__main__":
    main()

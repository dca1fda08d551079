"""Average what two runs of stage 1 exported, weight by weight: (1 - share) FIRST + share SECOND.

    python scripts/average_adapters.py runs/stable/first/export runs/stable/second/export --share 0.6 \
        --out runs/stable/averaged

For a run and one that started from it with some degradations drawn more often: between the two may lie weights that
restore those and the others (Wortsman et al. 2022, Model soups, https://arxiv.org/abs/2203.05482). The refinement that
is trained afterwards takes the result for its adapters. The predictor, which stage 1 does not train, is copied.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

from ldrestore.checkpoints.whole_folder import whole_folder
from ldrestore.errors import LDRestoreError
from ldrestore.training.networks.rebuilding import rebuilt
from ldrestore.training.networks.stable_adapters import load_parts
from ldrestore.training.tasks.estimator import load_predictor
from ldrestore.weights.hashes import hash_of_weights


def averaged(first: Any, second: Any, *, share: float) -> Any:
    """A network of the first one's configuration, between two.

    Args:
        first: A part of stage 1.
        second: The same of another run.
        share: In [0, 1], of the second one.

    Raises:
        ValueError: they were built differently.
    """
    configs = [{key: value for key, value in part.config.items() if key[0] != "_"} for part in (first, second)]
    if type(first) is not type(second) or configs[0] != configs[1]:
        raise ValueError(f"the two {type(first).__name__}s were built differently; average runs of the same sizes")
    other = second.state_dict()
    weights = {key: torch.lerp(value, other[key], share) for key, value in first.state_dict().items()}
    return rebuilt(first, weights, source="the average")


def average_exports(first: Path, second: Path, out: Path, *, share: float) -> None:
    """Average all parts of two exports and write them, with the predictor, as a run would.

    Args:
        first: Export of a run of stage 1.
        second: The same.
        out: A new folder.
        share: In [0, 1], of the second one.

    Raises:
        ValueError: `share` is out of range, `out` is taken, or the exports do not belong together.
        WeightsError: something is missing or damaged.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1], got {share}")
    if out.exists():
        raise ValueError(f"{out} is there already; name a new folder")
    parts, others = load_parts(first), load_parts(second)
    if parts.keys() != others.keys():
        raise ValueError(f"{first} has {', '.join(parts)}, {second} has {', '.join(others)}; average runs of the same")
    predictors = load_predictor(first), load_predictor(second)
    if len({hash_of_weights(predictor) for predictor in predictors}) > 1:
        raise ValueError("the runs have different predictors; average runs upon one")
    results = {name: averaged(part, others[name], share=share) for name, part in parts.items()}
    with whole_folder(out) as folder:
        for name, part in {**results, "predictor": predictors[0]}.items():
            part.save_pretrained(folder / name)


def main() -> None:
    """Parse the command line and average."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path, help="export of a run of stage 1")
    parser.add_argument("second", type=Path, help="export of another")
    parser.add_argument("--share", type=float, default=0.5, help="of the second, in [0, 1]")
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    arguments = parser.parse_args()
    try:
        average_exports(arguments.first, arguments.second, arguments.out, share=arguments.share)
    except (LDRestoreError, ValueError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

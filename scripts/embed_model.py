"""Put a trained regressor into the package as an embedded model, in half precision.

    python scripts/embed_model.py runs/blind_small_cpu/export
    ldrestore bench card --model default --peer all --data-root DATA --cost --out out
    python scripts/make_pictures.py strips
    python scripts/write_model_card.py --model default --results out

The weights are rounded to float16, which halves the file; `FastRestorePipeline` computes in float32 unless told
otherwise. The card in the folder stays as it is until it is written anew.
"""

import argparse
from pathlib import Path

import torch

from ldrestore.assets.catalog import MODELS, folder_of
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.onnx_regressor import OnnxRegressor

LARGEST_FILE = 16_000_000
"""Bytes of weights that the package is willing to carry."""


def embed(source: Path, target: Path) -> int:
    """Write the weights of one pipeline folder, rounded to float16, to another.

    Args:
        source: What a training run exported.
        target: Written over; other files in it stay.

    Returns:
        Size of the weights in bytes.

    Raises:
        ValueError: they are too large, or a weight does not fit into float16; the target is left alone.
    """
    pipeline = FastRestorePipeline.from_pretrained(source, dtype=torch.float16)
    regressor = pipeline.regressor
    assert not isinstance(regressor, OnnxRegressor), "a folder holds torch's weights"
    weights = list(regressor.state_dict().values())
    num_bytes: int = sum(weight.numel() * weight.element_size() for weight in weights)
    if num_bytes > LARGEST_FILE:
        raise ValueError(f"the weights take {num_bytes} bytes in float16, more than {LARGEST_FILE}")
    if not all(weight.isfinite().all() for weight in weights):
        raise ValueError("a weight does not fit into float16")
    regressor.register_to_config(_name_or_path=target.name)
    pipeline.register_to_config(_name_or_path=target.name)
    pipeline.save_pretrained(target)
    return num_bytes


def main() -> None:
    """Parse the command line and embed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder that a training run exported")
    parser.add_argument("--name", default="default", help="of the embedded model")
    arguments = parser.parse_args()
    target = folder_of(MODELS.get(arguments.name))
    print(f"{target}: {embed(arguments.source, target) / 1e6:.2f} MB of weights")


if __name__ == "__main__":
    main()

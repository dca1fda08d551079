"""What a record says of a pipeline that samples, and of degradations that a user named."""

import json
from hashlib import sha256
from typing import Any

from diffusers import DiffusionPipeline
from torch import nn

from ldrestore.refiners.refined_decoder import plan_of
from ldrestore.structures import DegradationEstimate
from ldrestore.weights.compiled import uncompiled
from ldrestore.weights.hashes import cached_hash

MORE_PACKAGES = ("transformers",)
"""Packages that compute in this track alone: text encoder and vision tower are theirs."""


def describe_pipeline(pipeline: DiffusionPipeline) -> dict[str, Any]:
    """Class, name, weights, scheduler, any predictor's view and the autoencoder's own tiles, as plain values."""
    parts = pipeline.components
    networks = {name: part for name, part in sorted(parts.items()) if isinstance(part, nn.Module)}
    hashes = {name: cached_hash(uncompiled(part)) for name, part in networks.items()}
    scheduler = parts["scheduler"]
    settings = {key: value for key, value in scheduler.config.items() if not key.startswith("_")}
    return {
        "pipeline": type(pipeline).__name__,
        "name": pipeline.config.get("_name_or_path"),
        "architecture": type(uncompiled(parts["unet"])).__name__,
        "weights_sha256": sha256(json.dumps(hashes).encode()).hexdigest(),
        "parts_sha256": hashes,
        "scheduler": type(scheduler).__name__,
        "scheduler_sha256": sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest(),
        **({"view": parts["predictor"].view} if "predictor" in parts else {}),
        "vae_tile": plan_of(parts["vae"]).tile,
    }


def named_degradations(given: DegradationEstimate | None) -> dict[str, float] | None:
    """What a record says of degradations that a user named, the heaviest first; None where none were."""
    return None if given is None else {name: share for name, share in given.ranked() if share}

"""What a loaded pipeline of a track that samples tells of itself; plain values for `ldrestore info`."""

from typing import Any

from torch import nn

from ldrestore.checkpoints.bases import find_base
from ldrestore.options import XLRestoreOptions
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
from ldrestore.pipelines.pipeline_xl_restore import XLRestorePipeline
from ldrestore.prompts.task_prompts import TASK_PROMPTS
from ldrestore.sampling.denoising import prediction_type_of
from ldrestore.systems.sampled_pictures import bytes_per_pixel
from ldrestore.systems.unildiff_parts import fusion_of, name_of_fusion


def facts_of_stable(pipeline: StableRestorePipeline) -> dict[str, Any]:
    """Many networks: what they know, what they stand upon, and how they sample."""
    return {
        "architecture": "MPerceiver",
        "degradations": list(pipeline.predictor.names),
        **_facts_of_sampled(
            pipeline,
            refiner=pipeline.drm,
            sampling={
                "steps": pipeline.config["steps"],
                "refines": pipeline.drm is not None,
                "view": pipeline.view,
            },
        ),
        "source": "https://arxiv.org/abs/2312.02918",
    }


def facts_of_xl(pipeline: XLRestorePipeline) -> dict[str, Any]:
    """Many networks: what they may be told, what they stand upon, and how they sample."""
    fusion = fusion_of(pipeline.components)
    return {
        "architecture": "UniLDiff",
        **_facts_of_sampled(
            pipeline,
            refiner=pipeline.daem,
            sampling={
                "steps": pipeline.config["steps"],
                "guidance": XLRestoreOptions.guidance_scale,
                "fusion": None if fusion is None else name_of_fusion(fusion),
                "refines": pipeline.daem is not None,
            },
        ),
        "instructions": {"any text": "a task prompt, in English", **TASK_PROMPTS},
        "tuned": list(pipeline.config["tuned"]),
        "source": 'UniLDiff, "Unified Latent Diffusion for Image Restoration"',
    }


def _facts_of_sampled(
    pipeline: StableRestorePipeline | XLRestorePipeline, *, refiner: Any, sampling: dict[str, Any]
) -> dict[str, Any]:
    """What is told of any pipeline that samples.

    Args:
        pipeline: Loaded.
        refiner: Of its decoder; None without one.
        sampling: How it samples, beside its scheduler.
    """
    networks = {name: part for name, part in pipeline.components.items() if isinstance(part, nn.Module)}
    sizes = {name: sum(weight.numel() for weight in part.parameters()) for name, part in networks.items()}
    return {
        "base": _base(pipeline),
        "sampling": {
            "most_steps": pipeline.scheduler.config.num_train_timesteps,
            "scheduler": type(pipeline.scheduler).__name__,
            **sampling,
        },
        "parts": {name: f"{type(part).__name__}, {sizes[name]:,} parameters" for name, part in networks.items()},
        "parameters": sum(sizes.values()),
        "bytes_per_pixel": bytes_per_pixel(pipeline.vae, refiner),
        "instructions": None,
        "provenance": None,
    }


def _base(pipeline: StableRestorePipeline | XLRestorePipeline) -> dict[str, Any]:
    """The diffusion model that the rest was trained upon."""
    name = pipeline.unet.config.get("_name_or_path")
    record = find_base(name) if name else None
    return {
        "name": name,
        "licence": None if record is None else record.licence,
        "prediction_type": prediction_type_of(pipeline.scheduler),
    }

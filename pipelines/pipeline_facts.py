"""What a loaded pipeline tells of itself, a function a track; plain values for `ldrestore info`."""

from typing import TYPE_CHECKING, Any

from ldrestore.options import StableRestoreOptions

if TYPE_CHECKING:
    from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
    from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
    from ldrestore.regressors.instruction_head import InstructionHead


def facts_of_fast(pipeline: "FastRestorePipeline") -> dict[str, Any]:
    """One network, and what it understands."""
    from ldrestore.regressors.factory import record_of

    network = pipeline.regressor
    architecture = record_of(network)
    return {
        "architecture": architecture.name,
        "network": type(network).__name__,
        "network_options": {key: value for key, value in network.config.items() if not key.startswith("_")},
        "parameters": network.num_parameters(),
        "bytes_per_pixel": architecture.bytes_per_pixel,
        "instructions": _instructions(pipeline.instruction_head),
        "source": architecture.source,
        "provenance": _exported(network),
    }


def facts_of_stable(pipeline: "StableRestorePipeline") -> dict[str, Any]:
    """Many networks: what they know, what they stand upon, and how they sample."""
    from torch import nn

    from ldrestore.systems.sampled_pictures import bytes_per_pixel

    networks = {name: part for name, part in pipeline.components.items() if isinstance(part, nn.Module)}
    sizes = {name: sum(weight.numel() for weight in part.parameters()) for name, part in networks.items()}
    return {
        "architecture": "MPerceiver",
        "degradations": list(pipeline.predictor.names),
        "base": _base(pipeline),
        "sampling": {
            "steps": StableRestoreOptions.num_inference_steps,
            "most_steps": pipeline.scheduler.config.num_train_timesteps,
            "scheduler": type(pipeline.scheduler).__name__,
            "refines": pipeline.drm is not None,
            "view": pipeline.view,
        },
        "parts": {name: f"{type(part).__name__}, {sizes[name]:,} parameters" for name, part in networks.items()},
        "parameters": sum(sizes.values()),
        "bytes_per_pixel": bytes_per_pixel(pipeline.vae, pipeline.drm),
        "instructions": None,
        "source": "https://arxiv.org/abs/2312.02918",
        "provenance": None,
    }


def _base(pipeline: "StableRestorePipeline") -> dict[str, Any]:
    """The diffusion model that the rest was trained upon."""
    from ldrestore.checkpoints.bases import find_base
    from ldrestore.sampling.denoising import prediction_type_of

    name = pipeline.unet.config.get("_name_or_path")
    record = find_base(name) if name else None
    return {
        "name": name,
        "licence": None if record is None else record.licence,
        "prediction_type": prediction_type_of(pipeline.scheduler),
    }


def _instructions(head: "InstructionHead | None") -> dict[str, Any] | None:
    """What a model's instructions may ask for, who reads them, and what stands for none; None where it takes none."""
    if head is None:
        return None
    return {
        "classes": list(head.config["classes"]),
        "sentence_encoder": str(head.encoder_identity),
        "neutral": head.config["neutral_text"],
    }


def _exported(network: Any) -> dict[str, Any] | None:
    """Where an exported network comes from, as its file tells; None for others."""
    from ldrestore.regressors.onnx_regressor import OnnxRegressor

    if not isinstance(network, OnnxRegressor):
        return None
    facts = network.facts
    return {
        "exported_from": facts.name,
        "exported_weights_sha256": facts.weights_sha256,
        "exported_with": f"ldrestore {facts.ldrestore}",
        "weights_licence": facts.licence,
    }

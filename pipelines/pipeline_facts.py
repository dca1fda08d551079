"""What a loaded pipeline of the fast track tells of itself; plain values for `ldrestore info`."""

from typing import Any

from ldrestore.checkpoints.network_identity import identity_of
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import record_of
from ldrestore.regressors.instruction_head import InstructionHead
from ldrestore.regressors.onnx_regressor import OnnxRegressor


def facts_of_fast(pipeline: FastRestorePipeline) -> dict[str, Any]:
    """One network, and what it understands."""
    network = pipeline.regressor
    architecture = record_of(network)
    return {
        "architecture": architecture.name,
        "network": type(network).__name__,
        "network_options": {key: value for key, value in network.config.items() if not key.startswith("_")},
        "parameters": network.num_parameters(),
        "bytes_per_pixel": architecture.bytes_per_pixel,
        "instructions": _instructions(pipeline.instruction_head),
        "degradations": list(network.config["degradations"]) if architecture.takes_hints else None,
        "sha256_in_records": identity_of(network)["weights_sha256"],
        "source": architecture.source,
        "provenance": _exported(network),
    }


def _instructions(head: InstructionHead | None) -> dict[str, Any] | None:
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
    if not isinstance(network, OnnxRegressor):
        return None
    facts = network.facts
    return {
        "exported_from": facts.name,
        "exported_weights_sha256": facts.weights_sha256,
        "exported_with": f"ldrestore {facts.ldrestore}",
        "weights_licence": facts.licence,
    }

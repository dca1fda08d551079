"""What a loaded pipeline of the foreign track tells of itself; plain values for `ldrestore info`."""

from dataclasses import asdict
from typing import Any

from ldrestore.pipelines.pipeline_foreign_restore import ForeignRestorePipeline


def facts_of_foreign(pipeline: ForeignRestorePipeline) -> dict[str, Any]:
    """A network of another project: what spandrel recognised, and its own rules."""
    return {
        **asdict(pipeline.network.facts),
        "parameters": sum(weight.numel() for weight in pipeline.network.module.parameters()),
        "instructions": None,
        "source": "recognised by spandrel, https://github.com/chaiNNer-org/spandrel",
        "provenance": None,
    }

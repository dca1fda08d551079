"""Diffusers pipelines, one a track: what `from_pretrained` loads."""

from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.pipelines.pipeline_output import RestoreOutput

__all__ = ["FastRestorePipeline", "RestoreOutput"]

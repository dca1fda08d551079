"""Diffusers pipelines, one a track: what `from_pretrained` loads."""

from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.pipelines.pipeline_output import RestoreOutput
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline

__all__ = ["FastRestorePipeline", "RestoreOutput", "StableRestorePipeline"]

"""Diffusers pipelines, one a track: what `from_pretrained` loads.

`StableRestorePipeline` and `XLRestorePipeline` are imported from their own modules, or from `ldrestore`: they bring
Stable Diffusion's networks along, for which those who use the fast track should not wait.
"""

from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.pipelines.pipeline_output import RestoreOutput

__all__ = ["FastRestorePipeline", "RestoreOutput"]

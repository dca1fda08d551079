"""All parts of the XL track at tiny widths, with random weights that let everything act."""

import torch

from ldrestore.adapters.daff import DAFF
from ldrestore.adapters.lq_encoder import LQEncoder
from ldrestore.adapters.residual_alignment import ResidualAlignment
from ldrestore.pipelines.pipeline_xl_restore import XLRestorePipeline
from ldrestore.refiners.daem import DetailExpertModule
from tests.tiny_autoencoder import trained
from tests.tiny_xl import TEXT_DIM, tiny_xl_base

LATENT_SIDE = 4
"""Pixels along a latent's side."""


def tiny_daff(**options):
    """Of the tiny U-Net and LQ encoder."""
    torch.manual_seed(4)
    sizes = {"block_out_channels": (8, 16), "lq_channels": 16, "text_dim": TEXT_DIM, "dim": 32, "head_dim": 16}
    return trained(DAFF(**{**sizes, **options})).eval()


def tiny_alignment():
    """The other fusion."""
    torch.manual_seed(5)
    return trained(ResidualAlignment(8, 16, num_heads=2, num_blocks=1)).eval()


def tiny_daem(**options):
    """Of the tiny autoencoder."""
    torch.manual_seed(6)
    return trained(DetailExpertModule((8, 8, 16), (8, 8, 8), head_dim=4, **options)).eval()


def tiny_xl_adapters(vae, **replaced):
    """What is trained upon a base, as after some steps."""
    parts = {"lq_encoder": trained(LQEncoder.from_vae(vae), 0.02).eval(), "daff": tiny_daff(), "daem": tiny_daem()}
    return {**parts, **replaced}


def tiny_xl(**replaced):
    """A whole pipeline; parts may be replaced, or left out with None."""
    base = tiny_xl_base()
    pipeline = XLRestorePipeline(**{**base, **tiny_xl_adapters(base["vae"]), **replaced})
    pipeline.set_progress_bar_config(disable=True)
    return pipeline

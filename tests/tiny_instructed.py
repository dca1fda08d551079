"""A tiny InstructIR with a head of a tiny sentence encoder, which lies in a cache as that of the Hub."""

import torch

from ldrestore.guides.sentence_encoder import SentenceEncoder
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import create_regressor
from ldrestore.regressors.instruction_head import InstructionHead
from tests.tiny_encoder import write_tiny_encoder

ENCODER = "someone/tiny-encoder"
COMMIT = "0123456789012345678901234567890123456789"
TINY = {"width": 4, "middle_blk_num": 1, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1], "txtdim": 6}


def fill_cache(cache, *, seed=0):
    """Put the encoder into a cache; gives its folder."""
    repository = cache / f"models--{ENCODER.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(COMMIT)
    return write_tiny_encoder(repository / "snapshots" / COMMIT, seed=seed)


def tiny_network(**overrides):
    """An InstructIR whose masks and branches are open."""
    torch.manual_seed(0)
    network = create_regressor("instructir", **TINY, **overrides).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape))
    return network


def tiny_head(encoder, *, name=ENCODER):
    """A head that is sure of a class, whatever is said."""
    torch.manual_seed(1)
    head = InstructionHead(name, encoder.identity.sha256, encoder.dim, TINY["txtdim"])
    with torch.no_grad():
        head.fc2.weight.mul_(100)
    return head.eval()


def tiny_instructed(folder, *, has_neutral=True):
    """The pipeline, for the encoder of a folder."""
    encoder = SentenceEncoder.from_pretrained(folder, name=ENCODER)
    head = tiny_head(encoder)
    if has_neutral:
        head.set_neutral(encoder, "please restore")
    pipeline = FastRestorePipeline(tiny_network(), head)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline

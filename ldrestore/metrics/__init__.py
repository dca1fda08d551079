"""How far two pictures lie apart: one file a metric, with its equation and its switches; and `score`."""

from ldrestore.metrics.psnr import psnr
from ldrestore.metrics.scoring import Scores, score
from ldrestore.metrics.ssim import ssim

__all__ = ["Scores", "psnr", "score", "ssim"]

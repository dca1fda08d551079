"""How far two pictures lie apart: one file a metric, with its equation and its switches."""

from ldrestore.metrics.psnr import decibels, psnr

__all__ = ["decibels", "psnr"]

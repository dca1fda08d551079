"""Pairs of degraded and clean pictures for training and evaluation."""

from ldrestore.datasets.domains import DomainConfig, MultiDomainDataConfig, MultiDomainDataset
from ldrestore.datasets.paired import PairedDataConfig, PairedDataset
from ldrestore.datasets.synthetic import RecipeShare, SyntheticDataConfig, SyntheticDataset

__all__ = [
    "DomainConfig",
    "MultiDomainDataConfig",
    "MultiDomainDataset",
    "PairedDataConfig",
    "PairedDataset",
    "RecipeShare",
    "SyntheticDataConfig",
    "SyntheticDataset",
]

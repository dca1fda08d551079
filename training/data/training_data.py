"""The data sets that configs name."""

from ldrestore.datasets.domains import MultiDomainDataConfig, MultiDomainDataset
from ldrestore.datasets.hinted import HintedDataConfig, HintedDataset
from ldrestore.datasets.paired import PairedDataConfig, PairedDataset
from ldrestore.datasets.synthetic import SyntheticDataConfig, SyntheticDataset
from ldrestore.degradations.catalog import counted_name
from ldrestore.degradations.recipes import parse_recipe

PairDataConfig = SyntheticDataConfig | HintedDataConfig | MultiDomainDataConfig | PairedDataConfig
"""Clean folders with a mixture of degradations, such with hints, several domains of such, or folders of pairs."""


PairDataset = PairedDataset | MultiDomainDataset | HintedDataset | SyntheticDataset
"""What these configurations describe; says the file of each item by `source_path`."""


def create_dataset(data: PairDataConfig, *, patch_size: int, seed: int) -> PairDataset:
    """Pairs of lq and gt.

    Args:
        data: What to take them from.
        patch_size: Side of the crops in pixels.
        seed: Start of all random numbers.

    Raises:
        ConfigError: a folder is missing or empty, or a picture has no partner.
        InputError: a recipe cannot be parsed.
    """
    if isinstance(data, PairedDataConfig):
        return PairedDataset(data, patch_size=patch_size, seed=seed)
    if isinstance(data, MultiDomainDataConfig):
        return MultiDomainDataset(data, patch_size=patch_size, seed=seed)
    if isinstance(data, HintedDataConfig):
        return HintedDataset(data, patch_size=patch_size, seed=seed)
    return SyntheticDataset(data, patch_size=patch_size, seed=seed)


def trained_names(data: PairDataConfig) -> set[str]:
    """Names of all degradations that can occur in the pictures of a config; training forms count as what they widen.

    Raises:
        InputError: a recipe cannot be parsed.
    """
    if isinstance(data, MultiDomainDataConfig):
        return set().union(*(trained_names(domain.data) for domain in data.domains))
    if isinstance(data, PairedDataConfig):
        return set(data.degradations)
    if isinstance(data, HintedDataConfig):
        return trained_names(data.pictures)
    names = {step.name for share in data.mixture for step in parse_recipe(share.recipe).steps}
    for drawn in (data.random_mixture, data.random_chain):
        names |= set(drawn.names if drawn is not None else ())
    return {counted_name(name) for name in names}

import numpy as np
import pytest
import torch
from PIL import Image

from ldrestore.config import build
from ldrestore.datasets.domains import DomainConfig, MultiDomainDataConfig, MultiDomainDataset
from ldrestore.datasets.paired import PairedDataConfig
from ldrestore.datasets.synthetic import RecipeShare, SyntheticDataConfig, SyntheticDataset
from ldrestore.degradations.recipes import list_degradations
from ldrestore.errors import ConfigError


def of(folder, recipe):
    return SyntheticDataConfig(folders=(folder,), mixture=(RecipeShare(recipe=recipe, weight=1.0),))


@pytest.fixture
def grey_folder(tmp_path):
    """A folder of one grey picture."""
    folder = tmp_path / "slices"
    folder.mkdir()
    pixels = np.random.default_rng(1).integers(40, 200, (9, 9), dtype=np.uint8)
    Image.fromarray(pixels).resize((80, 80), Image.Resampling.BICUBIC).save(folder / "slice.png")
    return folder


@pytest.fixture
def domains(clean_folder, grey_folder):
    """Three pictures of one domain, and one of another that comes twice."""
    config = MultiDomainDataConfig(
        domains=(
            DomainConfig(data=of(clean_folder, "gaussian_noise")),
            DomainConfig(data=of(grey_folder, "mri_undersample"), repeat=2),
        )
    )
    return MultiDomainDataset(config, patch_size=32, seed=3)


def test_each_domain_has_its_own_pictures_and_degradations(domains):
    assert len(domains) == 5
    names = [domains[(0, index)]["name"] for index in range(5)]
    assert names == ["a.png", "b.png", "c.png", "slice.png", "slice.png"]
    for index, degradation in enumerate(["gaussian_noise"] * 3 + ["mri_undersample"] * 2):
        labels = domains[(0, index)]["degradations"]
        assert labels.nonzero().tolist() == [[list_degradations().index(degradation)]]


def test_a_repeated_picture_is_drawn_anew_each_time(domains):
    drawn = [domains[(epoch, index)]["lq"] for epoch in range(2) for index in (3, 4)]
    assert all(not torch.equal(drawn[first], drawn[second]) for first in range(4) for second in range(first))
    assert torch.equal(domains[(1, 4)]["lq"], drawn[3])
    assert torch.equal(domains[4]["lq"], drawn[1])


def test_the_first_domain_alone_is_a_synthetic_data_set(domains, clean_folder):
    alone = SyntheticDataset(of(clean_folder, "gaussian_noise"), patch_size=32, seed=3)
    assert torch.equal(domains[(2, 1)]["lq"], alone[(2, 1)]["lq"])


def test_wrong_configurations_and_indices_are_refused(domains, clean_folder):
    with pytest.raises(IndexError, match="beyond the 5 pictures"):
        domains[(0, 5)]
    with pytest.raises(ConfigError, match="repeat must be at least 1, got 0"):
        DomainConfig(data=of(clean_folder, "rain"), repeat=0)
    with pytest.raises(ConfigError, match="domains is empty"):
        MultiDomainDataConfig(domains=())
    with pytest.raises(ConfigError, match="did you mean 'mixture'"):
        build(MultiDomainDataConfig, {"domains": [{"data": {"folders": ["a"], "mixtures": []}}]})


def test_pairs_stand_beside_synthetic_pictures(clean_folder, grey_folder):
    pairs = PairedDataConfig(lq_folder=grey_folder, gt_folder=grey_folder, degradations=("rain",))
    config = MultiDomainDataConfig(
        domains=(DomainConfig(data=of(clean_folder, "gaussian_noise")), DomainConfig(data=pairs, repeat=2))
    )
    data = MultiDomainDataset(config, patch_size=32, seed=3)
    assert len(data) == 5
    assert data[0].keys() == data[4].keys()
    assert data[4]["degradations"].nonzero().tolist() == [[list_degradations().index("rain")]]
    assert [data.source_path(index).name for index in range(5)] == ["a.png", "b.png", "c.png", *["slice.png"] * 2]


@pytest.mark.parametrize("index", [-1, 5, 99])
def test_indices_beyond_either_end_are_refused_for_items_and_paths(domains, index: int) -> None:
    for key in (index, (1, index)):
        with pytest.raises(IndexError, match=f"{index} lies beyond the 5 pictures of an epoch"):
            domains[key]
    with pytest.raises(IndexError, match=f"{index} lies beyond"):
        domains.source_path(index)


def test_an_epoch_is_each_picture_as_often_as_its_domain_repeats_it(domains) -> None:
    items = list(domains)
    assert [item["name"] for item in items] == ["a.png", "b.png", "c.png", "slice.png", "slice.png"]
    assert [domains.source_path(index).name for index in range(5)] == [item["name"] for item in items]


def test_equal_domains_draw_otherwise(clean_folder) -> None:
    domain = DomainConfig(data=of(clean_folder, "gaussian_noise"))
    data = MultiDomainDataset(MultiDomainDataConfig(domains=(domain, domain)), patch_size=32, seed=0)
    assert data[1]["name"] == data[4]["name"] and not torch.equal(data[1]["lq"], data[4]["lq"])

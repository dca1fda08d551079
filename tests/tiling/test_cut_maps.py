import torch
from torch import nn

from ldrestore.tiling import cut_maps
from ldrestore.tiling.cut_maps import CutMap
from ldrestore.tiling.tally import Tally

SIDE = 96


def deep_network():
    """Layers with normalisations that depend on those before them."""
    torch.manual_seed(3)
    layers = [nn.Conv2d(1, 8, 1)]
    for _ in range(4):
        layers += [nn.GroupNorm(2, 8), nn.SiLU(), nn.Conv2d(8, 8, 1)]
    return nn.Sequential(*layers, nn.GroupNorm(2, 8), nn.SiLU(), nn.Conv2d(8, 1, 1)).eval()


def lamp_beside_the_crops():
    """Dark, but for a part that none of the crops shows."""
    picture = 0.02 * torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    picture[..., 18:38, 18:38] += 3
    return picture


def error_of_tiles(network, picture):
    """Largest difference from the whole."""
    cut = CutMap(height=SIDE, width=SIDE, tile=48, overlap=16, look=48, crop=16, multiple=1)

    def compute(places):
        return network(torch.cat([picture[..., rows, columns] for rows, columns in places]))

    with torch.no_grad():
        whole = network(picture)
        return float((cut.compute(compute, {"": network}) - whole).abs().max() / whole.std())


def test_statistics_are_found_in_several_rounds_where_crops_miss_much(monkeypatch):
    network, picture = deep_network(), lamp_beside_the_crops()
    error = error_of_tiles(network, picture)
    monkeypatch.setattr(cut_maps, "MOST_ROUNDS", 2)
    assert error < 0.05
    assert error < 0.05 * error_of_tiles(network, picture)


def test_one_round_is_enough_where_crops_show_what_the_whole_is(monkeypatch):
    network, rounds = deep_network(), []
    picture = torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(cut_maps, "Tally", lambda: rounds.append(1) or Tally())
    assert error_of_tiles(network, picture) < 0.05
    assert len(rounds) == 1

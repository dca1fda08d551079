"""The same latents, decoded with a refiner and without."""

import torch
from skimage import data, io

from ldrestore.training.losses.refined_validation import RefinedValidation
from ldrestore.training.losses.validation import ValidationConfig


def test_what_does_not_change_is_computed_once(tmp_path):
    io.imsave(tmp_path / "cat.png", data.chelsea()[:31, :45])
    config = ValidationConfig(folder=tmp_path, recipes=("clean", "gaussian_noise(sigma_255=25)"), num_pictures=1)
    validation = RefinedValidation(config, factor=8, plain="plain")
    sampled, decoded = [], []

    def sample(number):
        sampled.append(number)
        return torch.full((1,), float(number))

    def decode(lq, pair, is_refined):
        decoded.append(is_refined)
        assert lq.shape[-2:] == (32, 48)
        assert validation.latents(pair, sample).item() == validation.pairs.index(pair)
        return lq if is_refined else lq * 0

    first, again = (validation.measure(decode, device=torch.device("cpu")) for _ in range(2))
    assert first == again and sampled == [0, 1] and decoded == [False] * 2 + [True] * 4
    assert first["psnr/clean"] == 100 and first["plain/psnr/clean"] < 20


def test_without_a_config_there_are_no_pictures():
    assert RefinedValidation(None, factor=8, plain="plain").pairs == []

import pytest
import torch

from ldrestore.errors import InputError
from ldrestore.sampling.picture_noise import draw_noise, generator_of, run_seed_of


def test_noise_follows_from_seed_and_content_alone():
    latents = torch.zeros(1, 4, 5, 3)
    first, again = (draw_noise(latents, generator=generator_of(1, "ab")) for _ in range(2))
    assert torch.equal(first, again)
    for seed, content in ((2, "ab"), (1, "ac"), (11, "b")):
        assert not torch.equal(draw_noise(latents, generator=generator_of(seed, content)), first)


def test_noise_is_float32_whatever_the_latents_are():
    noise = draw_noise(torch.zeros(1, 4, 64, 64, dtype=torch.bfloat16), generator=generator_of(0, ""))
    assert noise.dtype == torch.float32
    assert noise.mean().abs() < 0.05 and abs(noise.std() - 1) < 0.05


def test_a_generator_draws_another_seed_each_time():
    generator = torch.Generator().manual_seed(3)
    seeds = [run_seed_of(None, generator) for _ in range(2)]
    assert seeds[0] != seeds[1]
    assert run_seed_of(None, torch.Generator().manual_seed(3)) == seeds[0]
    assert run_seed_of(7, None) == 7 and run_seed_of(None, None) == 0


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True, 2**63])
def test_seeds_out_of_range_are_refused(seed):
    with pytest.raises(InputError, match="seed must be"):
        run_seed_of(seed, None)


def test_seed_and_generator_together_are_refused():
    with pytest.raises(InputError, match="one of them"):
        run_seed_of(1, torch.Generator())

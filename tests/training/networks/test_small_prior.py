import pytest
import torch
from diffusers import DDIMScheduler
from transformers import CLIPTokenizer

from ldrestore.errors import ConfigError
from ldrestore.guides.clip_tower import ClipTower
from ldrestore.training.networks.small_prior import (
    ClipSizes,
    SmallPriorConfig,
    UnetSizes,
    VaeSizes,
    create_image_encoder,
    create_scheduler,
    create_text_encoder,
    create_tokenizer,
    create_unet,
    create_vae,
    learn_merges,
)
from ldrestore.training.tasks.backbone_clip import tokens_of

CLIP = ClipSizes(
    text_width=8,
    text_layers=1,
    text_heads=2,
    vocabulary=540,
    max_tokens=12,
    vision_width=8,
    vision_layers=1,
    vision_heads=2,
    image_size=16,
    patch_size=8,
    embedding_dim=6,
)


def test_the_embedded_prior_is_small():
    sizes = SmallPriorConfig()
    with torch.device("meta"):
        parts = [
            create_vae(sizes.vae),
            create_text_encoder(sizes.clip),
            create_image_encoder(sizes.clip),
            create_unet(sizes.unet, latent_channels=4, text_width=sizes.clip.text_width),
        ]
    assert sum(weight.numel() for part in parts for weight in part.parameters()) < 6e6


def test_latents_and_features_have_the_shapes_that_belong_together():
    vae = create_vae(VaeSizes(widths=(8, 8, 8), num_groups=4))
    unet = create_unet(UnetSizes(widths=(8, 8), attention_levels=(1,), num_groups=4), latent_channels=4, text_width=8)
    latents = vae.encode(torch.rand(1, 3, 32, 16)).latent_dist.mode()
    assert latents.shape == (1, 4, 8, 4)
    words = create_text_encoder(CLIP)(torch.zeros(1, 12, dtype=torch.long)).last_hidden_state
    assert unet(latents, 3, words).sample.shape == latents.shape
    assert unet.config.down_block_types == ("DownBlock2D", "CrossAttnDownBlock2D")
    assert unet.config.up_block_types == ("CrossAttnUpBlock2D", "UpBlock2D")


def test_the_tower_says_itself_how_pictures_are_prepared(tmp_path):
    create_image_encoder(CLIP).save_pretrained(tmp_path)
    tower = ClipTower.from_pretrained(tmp_path)
    assert (tower.crop_size, tower.dim, tower.mean) == (16, 6, (0.5, 0.5, 0.5))
    assert tower(torch.rand(1, 3, 40, 40)).shape == (1, 5, 6)


def test_the_tokenizer_writes_every_text_and_keeps_frequent_words_whole(tmp_path):
    tokenizer = create_tokenizer(CLIP, ["rain rain snow"])
    assert len(tokenizer) == 540
    numbers = tokenizer("Rain é", padding="max_length", return_tensors="pt").input_ids[0].tolist()
    assert numbers[0] == 538 and numbers[2:] != numbers[:2] and len(numbers) == 12
    assert tokenizer.convert_ids_to_tokens(numbers[1]) == "rain</w>"
    assert numbers[4:] == [539, *[0] * 7]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (538, 539, 0)
    tokenizer.save_pretrained(tmp_path)
    loaded = CLIPTokenizer.from_pretrained(tmp_path)
    assert loaded("Rain é", padding="max_length").input_ids == numbers and loaded.model_max_length == 12


def test_merges_begin_with_the_most_frequent_pair():
    assert learn_merges(["ab ab ba"], num_merges=9) == [("a", "b</w>"), ("b", "a</w>")]
    assert learn_merges(["ab ab ba"], num_merges=1) == [("a", "b</w>")]


def test_the_schedule_ends_in_pure_noise(tmp_path):
    scheduler = create_scheduler()
    assert scheduler.alphas_cumprod[-1] == 0
    scheduler.save_pretrained(tmp_path)
    scheduler = DDIMScheduler.from_pretrained(tmp_path)
    scheduler.set_timesteps(4)
    assert scheduler.config.prediction_type == "v_prediction"
    assert scheduler.timesteps[0] == 999


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"vae": VaeSizes(widths=(9,))}, r"vae.widths must be positive multiples of 8, got \[9\]"),
        ({"unet": UnetSizes(attention_levels=(4,))}, r"attention_levels must lie in 0 to 3, got \[4\]"),
        ({"clip": ClipSizes(vocabulary=100)}, "vocabulary must be at least 514, got 100"),
        ({"clip": ClipSizes(patch_size=7)}, "image_size must be positive multiples of 7"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes, message):
    with pytest.raises(ConfigError, match=message):
        SmallPriorConfig(**sizes)


def test_the_schedule_is_stable_diffusion_s_rescaled_as_in_algorithm_1() -> None:
    """Square roots of abar are shifted so that the last is 0, and scaled so that the first stays: Lin et al. 2024."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    roots = (1 - betas).cumprod(0).sqrt()
    plain = create_scheduler(ends_in_pure_noise=False).alphas_cumprod.double()
    torch.testing.assert_close(plain, roots**2, rtol=1e-4, atol=1e-6)
    rescaled = (roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])
    torch.testing.assert_close(create_scheduler().alphas_cumprod.double(), rescaled**2, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("num_steps", [1, 4, 7])
def test_sampling_begins_at_the_last_step_and_ends_in_the_picture(num_steps: int) -> None:
    scheduler = create_scheduler()
    scheduler.set_timesteps(num_steps)
    assert scheduler.timesteps[0] == 999 and len(scheduler.timesteps) == num_steps
    assert scheduler.final_alpha_cumprod == 1


@pytest.mark.parametrize(
    "text", ["rain", "a photo with strong rain", "Schnee über 50 % der Fläche.", "雨と霧", "naïve <tag>"]
)
def test_every_text_comes_back_from_its_tokens(text: str) -> None:
    tokenizer = create_tokenizer(ClipSizes(vocabulary=560, max_tokens=77), ["a photo with strong rain"])
    numbers = tokenizer(text).input_ids
    assert numbers[0] == tokenizer.bos_token_id and numbers[-1] == tokenizer.eos_token_id
    assert "".join(tokenizer.decode(numbers, skip_special_tokens=True).split()) == "".join(text.lower().split())
    assert max(numbers) < 560


def test_merges_stay_within_words_and_equal_ones_come_in_alphabetical_order() -> None:
    assert learn_merges(["xy ab"], num_merges=9) == [("a", "b</w>"), ("x", "y</w>")]
    assert learn_merges(["Ab AB ab"], num_merges=1) == [("a", "b</w>")]
    assert learn_merges(["a b c"], num_merges=5) == []
    merges = learn_merges(["aaaa aaaa"], num_merges=9)
    assert merges[0] == ("a", "a") and merges[-1][0] + merges[-1][1] == "aaaa</w>"


def test_long_texts_are_cut_and_short_ones_filled_to_the_encoder_s_length() -> None:
    tokenizer = create_tokenizer(CLIP, ["rain"])
    tokens = tokens_of(tokenizer, ["rain", "rain " * 40])
    assert tokens.shape == (2, CLIP.max_tokens)
    assert tokens[0, 3:].tolist() == [0] * 9
    assert tokens[1, -1] == tokenizer.eos_token_id and tokens[1, 1:-1].unique().numel() == 1
    assert create_text_encoder(CLIP)(tokens).last_hidden_state.shape == (2, CLIP.max_tokens, CLIP.text_width)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"vae": VaeSizes(widths=())}, r"vae\.widths must be positive multiples of 8, got \[\]"),
        ({"unet": UnetSizes(num_heads=0)}, r"unet\.widths must be positive multiples of 0"),
        ({"unet": UnetSizes(widths=(40, -8))}, r"got \[40, -8\]"),
        ({"unet": UnetSizes(attention_levels=(-1,))}, r"attention_levels must lie in 0 to 3, got \[-1\]"),
        ({"clip": ClipSizes(text_heads=3)}, r"clip\.text_width must be positive multiples of 3, got \[64\]"),
        ({"clip": ClipSizes(vision_heads=5)}, r"clip\.vision_width must be positive multiples of 5, got \[96\]"),
    ],
)
def test_each_size_that_does_not_divide_is_named(sizes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SmallPriorConfig(**sizes)

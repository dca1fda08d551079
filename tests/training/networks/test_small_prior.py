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

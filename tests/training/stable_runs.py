"""Configs of small runs of the stable track's trainers, and a base for them."""

import torch
import yaml
from diffusers import StableDiffusionPipeline
from skimage import data, io

from ldrestore.config import as_plain
from ldrestore.guides.loading_quietly import without_progress_bar
from ldrestore.training.data.captions import caption_corpus
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
)

NAMES = ("haze", "rain")

SIZES = SmallPriorConfig(
    vae=VaeSizes(widths=(8, 8), num_groups=4),
    clip=ClipSizes(
        text_width=8,
        text_layers=1,
        text_heads=2,
        vocabulary=560,
        max_tokens=14,
        vision_width=8,
        vision_layers=1,
        vision_heads=2,
        image_size=16,
        patch_size=8,
        embedding_dim=6,
    ),
    unet=UnetSizes(widths=(8, 8), attention_levels=(1,), num_heads=2, num_groups=4),
)

ADAPTER_SIZES = {
    "num_tokens": 2,
    "num_token_heads": 2,
    "channels": [8, 8],
    "num_res_blocks": 1,
    "attention_levels": [1],
    "num_heads": 2,
    "num_groups": 4,
    "num_prompts": 2,
    "prompt_dim": 4,
    "num_prompt_heads": 1,
    "prompt_head_dim": 4,
    "feature_channels": 8,
    "hidden_channels": 4,
}

REFINER_SIZES = {
    "hidden_channels": [8, 8],
    "num_prompts": 2,
    "prompt_dim": 4,
    "num_res_blocks": 1,
    "num_swin_blocks": 1,
    "head_dim": 4,
    "window_size": 4,
    "norm_num_groups": 4,
}


def save_pictures(folder):
    """Two small photographs."""
    folder.mkdir()
    io.imsave(folder / "cat.png", data.chelsea()[:80, :96])
    io.imsave(folder / "coffee.png", data.coffee()[:80, :96])
    return folder


def save_base(folder):
    """An untrained small prior, as a run of the U-Net would export it."""
    torch.manual_seed(0)
    parts = {
        "vae": create_vae(SIZES.vae),
        "text_encoder": create_text_encoder(SIZES.clip),
        "tokenizer": create_tokenizer(SIZES.clip, caption_corpus(NAMES)),
        "unet": create_unet(SIZES.unet, latent_channels=4, text_width=8),
        "scheduler": create_scheduler(),
        "image_encoder": create_image_encoder(SIZES.clip),
    }
    pipeline = StableDiffusionPipeline(
        **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    with without_progress_bar():
        pipeline.save_pretrained(folder)
    return folder


def run_values(root, pictures, *, steps=2):
    """What the configs of all trainers share."""
    return {
        "run": {"output_dir": str(root / "run"), "device": "cpu", "num_workers": 0, "log_every": 1},
        "data": {
            "folders": [str(pictures)],
            "mixture": [{"recipe": "rain", "weight": 1}, {"recipe": "haze", "weight": 1}],
        },
        "stages": [{"patch_size": 16, "batch_size": 2, "steps": steps}],
        "optimizer": {"learning_rate": 0.01, "weight_decay": 0.1},
    }


def write(path, values):
    """A YAML file."""
    path.write_text(yaml.safe_dump(values))
    return path


def backbone_config(root, pictures, part, **extra):
    """A run of a part of the small prior."""
    values = run_values(root, pictures) | {
        "trainer": "backbone",
        "part": part,
        "sizes": as_plain(SIZES),
        "degradations": list(NAMES),
        "validation": {"folder": str(pictures), "recipes": ["clean", "rain"], "num_pictures": 1, "crop_size": 17},
    }
    return write(root / f"{part}.yaml", values | extra)


def estimator_config(root, pictures, base, **extra):
    """A run of the predictor."""
    values = run_values(root, pictures) | {
        "trainer": "estimator",
        "predictor": {"degradations": list(NAMES), "hidden_dim": 8, "clip_tower": str(base / "image_encoder")},
        "validation": {"folder": str(pictures), "severities": [0.5, 1.0], "num_pictures": 1, "crop_size": 16},
    }
    return write(root / "estimator.yaml", values | extra)


def adapters_config(root, pictures, base, predictor, **extra):
    """A run of stage 1."""
    values = run_values(root, pictures) | {
        "trainer": "adapters",
        "base": {"path": str(base)},
        "predictor": str(predictor),
        "sizes": ADAPTER_SIZES,
        "sampling_steps": 2,
        "validation": {"folder": str(pictures), "recipes": ["rain"], "num_pictures": 1, "crop_size": 17},
    }
    return write(root / "adapters.yaml", values | extra)


def refiner_config(root, pictures, base, *, adapters, **extra):
    """A run of stage 2."""
    values = run_values(root, pictures) | {
        "trainer": "refiner",
        "base": {"path": str(base)},
        "adapters": None if adapters is None else str(adapters),
        "stages": [{"patch_size": 32, "batch_size": 2, "steps": 2}],
        "sizes": REFINER_SIZES,
        "latents": {"min_steps": 1, "max_steps": 2},
        "loss": {"perceptual": 0.0},
        "judge": {"base_channels": 4, "num_layers": 2},
        "validation": {"folder": str(pictures), "recipes": ["rain"], "num_pictures": 1, "crop_size": 33},
    }
    plain = {name: str(value) if name == "predictor" else value for name, value in extra.items()}
    return write(root / "refiner.yaml", values | plain)


def last_metrics(root):
    """The last lines of a run's metrics, as one mapping."""
    import json

    merged = {}
    for line in (root / "run/metrics.jsonl").read_text().splitlines():
        merged |= json.loads(line)
    return merged

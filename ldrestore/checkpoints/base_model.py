"""Stable Diffusion 2.1 from the Hub, from a folder of diffusers, or from a single file."""

import inspect
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import AutoTokenizer, CLIPTextConfig, CLIPTextModel

from ldrestore.adapters.injection import RELEASED_UNET_PREFIX
from ldrestore.checkpoints.bases import find_base
from ldrestore.checkpoints.stable_folder import TRANSFORMERS_PARTS, load_transformers_part, make_ready
from ldrestore.checkpoints.stable_parts import check_unet_config
from ldrestore.errors import ConfigError, WeightsError, WeightsUnavailableError
from ldrestore.guides.clip_layout import text_weights
from ldrestore.weights.fitting import load_strictly
from ldrestore.weights.folders import find_folder, read_json
from ldrestore.weights.published_files import read_checkpoint

logger = logging.getLogger(__name__)

PREDICTION_TYPES = ("epsilon", "v_prediction", "sample")
"""What a U-Net may predict, as diffusers' schedulers call it."""

BASE_FILES = (
    "model_index.json",
    "scheduler/*.json",
    "tokenizer/*.json",
    "tokenizer/*.txt",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "text_encoder/model-*.safetensors",
    "text_encoder/model.safetensors.index.json",
    *(f"{part}/config.json" for part in ("unet", "vae")),
    *(
        f"{part}/diffusion_pytorch_model{ending}"
        for part in ("unet", "vae")
        for ending in (".safetensors", "-*.safetensors", ".safetensors.index.json")
    ),
)
"""What is fetched of a Hub repository; other formats of the same weights lie beside these."""

SCHEDULE = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "num_train_timesteps": 1000,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
"""How Stable Diffusion was trained; a single file has no scheduler."""


def _unet_sizes() -> dict[str, Any]:
    """The U-Net of Stable Diffusion 2.1."""
    cross = "CrossAttn{}Block2D"
    return {
        "sample_size": 64,
        "block_out_channels": (320, 640, 1280, 1280),
        "down_block_types": (*[cross.format("Down")] * 3, "DownBlock2D"),
        "up_block_types": ("UpBlock2D", *[cross.format("Up")] * 3),
        "cross_attention_dim": 1024,
        "attention_head_dim": (5, 10, 20, 20),
        "use_linear_projection": True,
    }


def _vae_sizes() -> dict[str, Any]:
    """The autoencoder of Stable Diffusion 2.1."""
    return {
        "sample_size": 512,
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
        "scaling_factor": 0.18215,
    }


def _text_sizes() -> dict[str, Any]:
    """The text encoder of Stable Diffusion 2.1: 23 of the 24 layers of OpenCLIP's ViT-H/14."""
    return {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 23,
        "num_attention_heads": 16,
        "max_position_embeddings": 77,
        "vocab_size": 49408,
        "projection_dim": 512,
        "hidden_act": "gelu",
        "bos_token_id": 49406,
        "eos_token_id": 49407,
        "pad_token_id": 0,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseSizes:
    """Sizes that a single file does not tell: constructor arguments of each part."""

    unet: dict[str, Any] = field(default_factory=_unet_sizes)
    """Of `UNet2DConditionModel`."""
    vae: dict[str, Any] = field(default_factory=_vae_sizes)
    """Of `AutoencoderKL`."""
    text_encoder: dict[str, Any] = field(default_factory=_text_sizes)
    """Of `CLIPTextConfig`."""


def load_base(
    name_or_path: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    prediction_type: str | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
    sizes: BaseSizes | None = None,
) -> dict[str, Any]:
    """Parts of a base, by name: vae, unet, text_encoder, tokenizer and scheduler, a DDIM of the base's own schedule.

    Nothing is asked of the network where the base is a folder or a file.

    Args:
        name_or_path: A folder of diffusers, a Hub repository "owner/name" or the short name of `bases.BASES`; or a
            single file, safetensors or ckpt, in the layout of the original Stable Diffusion, which has no tokenizer.
        dtype: Number format of the weights.
        prediction_type: What the U-Net predicts; None for what the base's scheduler says. A single file needs it.
        revision: Branch, tag or commit of the repository.
        local_files_only: Whether only the cache of the Hub is looked into.
        sizes: Of a single file; None for those of Stable Diffusion 2.1.

    Raises:
        WeightsUnavailableError: nothing lies there, or it cannot be fetched.
        WeightsError: it is damaged, of another kind, or its scheduler says another prediction type.
        ConfigError: no prediction type is known.
    """
    if prediction_type is not None and prediction_type not in PREDICTION_TYPES:
        raise ConfigError(f"prediction_type must be one of {', '.join(PREDICTION_TYPES)}, got {prediction_type!r}")
    if Path(name_or_path).is_file():
        parts = _of_single_file(Path(name_or_path), prediction_type, sizes=sizes or BaseSizes())
        for part in parts.values():
            if isinstance(part, torch.nn.Module):
                torch.nn.Module.to(part, dtype)  # diffusers' own `to` warns of parts kept in float32, of which are none
    else:
        folder = _find(str(name_or_path), revision=revision, local_files_only=local_files_only)
        parts = _of_folder(folder, prediction_type, dtype=dtype)
    name = Path(name_or_path).name if Path(name_or_path).exists() else str(name_or_path)
    make_ready(parts, name=name)
    for part in parts.values():
        if isinstance(part, torch.nn.Module):
            part.requires_grad_(False)
    return parts


def load_first_base(names: Sequence[str], **options: Any) -> tuple[dict[str, Any], str]:
    """The first of several bases that is within reach.

    Args:
        names: As `load_base` takes them.
        options: Those of `load_base`.

    Returns:
        Its parts, and which of the names it has.

    Raises:
        WeightsUnavailableError: none is; the reason for the last is given.
        WeightsError: one is damaged, or of another kind.
    """
    for name in names[:-1]:
        try:
            return load_base(name, **options), name
        except WeightsUnavailableError as error:
            logger.warning("%s; trying a mirror", error)
    return load_base(names[-1], **options), names[-1]


def _find(name: str, *, revision: str | None, local_files_only: bool) -> Path:
    """The folder of a base, from the first of its repositories that is within reach.

    Raises:
        WeightsUnavailableError: none is.
    """
    record = None if Path(name).is_dir() else find_base(name)
    names = [name] if record is None else [record.repository, *record.mirrors]
    for index, one in enumerate(names):
        try:
            return find_folder(one, revision=revision, local_files_only=local_files_only, patterns=BASE_FILES)
        except WeightsUnavailableError:
            if index == len(names) - 1:
                raise
    raise AssertionError("a base has at least one name")


def _of_folder(folder: Path, prediction_type: str | None, *, dtype: torch.dtype) -> dict[str, Any]:
    """Parts of a folder of diffusers.

    Raises:
        WeightsUnavailableError: a part has no safetensors weights.
        WeightsError: a part is missing, damaged, or of another kind of base.
        ConfigError: there is no scheduler to say what the U-Net predicts.
    """
    missing = [name for name in ("unet", "vae", "text_encoder") if not (folder / name / "config.json").is_file()]
    if missing:
        raise WeightsError(f"{folder} is no base: it lacks {', '.join(missing)}; name a Stable Diffusion 2.1")
    check_unet_config(read_json(folder / "unet" / "config.json"))
    scheduler = _scheduler_of(folder, prediction_type)
    text_encoder = load_transformers_part(folder / "text_encoder", TRANSFORMERS_PARTS["text_encoder"], dtype=dtype)
    has_tokenizer = (folder / "tokenizer").is_dir()
    return {
        "vae": _load_part(AutoencoderKL, folder / "vae", dtype=dtype),
        "unet": _load_part(UNet2DConditionModel, folder / "unet", dtype=dtype),
        "text_encoder": text_encoder,
        "tokenizer": AutoTokenizer.from_pretrained(folder / "tokenizer") if has_tokenizer else None,
        "scheduler": scheduler,
    }


def _load_part(part_class: type, folder: Path, *, dtype: torch.dtype) -> Any:
    """A network of diffusers, whose weights must all be there: it would make up missing ones.

    Raises:
        WeightsUnavailableError: there are no safetensors weights.
        WeightsError: a file is damaged, or weights are missing or left over.
    """
    if not any(folder.glob("diffusion_pytorch_model*.safetensors")):
        raise WeightsUnavailableError(f"{folder} has no safetensors weights; fetch the base again")
    try:
        network, report = part_class.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, torch_dtype=dtype, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, LookupError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{folder} cannot be loaded ({reason}); fetch it again") from error
    problems = [*(f"missing {key}" for key in report["missing_keys"]), *(report["mismatched_keys"])]
    if problems:
        raise WeightsError(f"{folder} does not fit {part_class.__name__}: {problems[:4]}; fetch it again")
    return network


def _scheduler_of(folder: Path, prediction_type: str | None) -> DDIMScheduler:
    """DDIM on the base's own schedule.

    Raises:
        WeightsError: it says another prediction type than is asked for.
        ConfigError: there is no scheduler, and no prediction type is asked for.
    """
    path = folder / "scheduler" / "scheduler_config.json"
    if not path.is_file():
        return _trained_schedule(prediction_type, source=str(folder))
    config = read_json(path)
    own = config.get("prediction_type", "epsilon")
    if prediction_type not in (None, own):
        raise WeightsError(
            f"the U-Net of {folder} predicts {own}, expected {prediction_type}: it is another base than the adapters'; "
            "name theirs"
        )
    known = {key: value for key, value in config.items() if key in inspect.signature(DDIMScheduler.__init__).parameters}
    return DDIMScheduler(**{**SCHEDULE, **known, "prediction_type": own})


def _trained_schedule(prediction_type: str | None, *, source: str) -> DDIMScheduler:
    """DDIM on Stable Diffusion's schedule, for a base without a scheduler.

    Raises:
        ConfigError: what the U-Net predicts is not known: the weights do not tell.
    """
    if prediction_type is None:
        raise ConfigError(
            f"{source} has no scheduler, so that nothing says what its U-Net predicts; give prediction_type: 'epsilon' "
            "for 2.1-base (512 pixels), 'v_prediction' for 2.1 (768 pixels)"
        )
    return DDIMScheduler(**SCHEDULE, prediction_type=prediction_type)


def _of_single_file(path: Path, prediction_type: str | None, *, sizes: BaseSizes) -> dict[str, Any]:
    """Parts of a file in the layout of the original Stable Diffusion 2.

    Raises:
        WeightsError: it is damaged, or of another kind.
        ConfigError: no prediction type is given.
    """
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint

    scheduler = _trained_schedule(prediction_type, source=path.name)
    weights = read_checkpoint(path)
    _check_kind(weights, unet_prefix=RELEASED_UNET_PREFIX, source=path.name)
    vae, unet = AutoencoderKL(**sizes.vae), UNet2DConditionModel(**sizes.unet)
    text_encoder = CLIPTextModel(CLIPTextConfig(**sizes.text_encoder))
    load_strictly(unet, convert_ldm_unet_checkpoint(dict(weights), unet.config), source=path.name)
    load_strictly(vae, convert_ldm_vae_checkpoint(dict(weights), vae.config), source=path.name)
    text = text_weights(weights, num_layers=text_encoder.config.num_hidden_layers, source=path.name)
    load_strictly(text_encoder, text, source=path.name)
    return {"vae": vae, "unet": unet, "text_encoder": text_encoder, "tokenizer": None, "scheduler": scheduler}


def _check_kind(weights: dict[str, Tensor], *, unet_prefix: str, source: str) -> None:
    """Refuse single files of other bases, by the keys that only they have.

    Raises:
        WeightsError: it is another base, or none.
    """
    if any(key.startswith("conditioner.") for key in weights):
        raise WeightsError(f"{source} is an SDXL, expected a Stable Diffusion 2.1; name one, such as 2.1-base")
    if any(key.startswith("cond_stage_model.transformer.") for key in weights):
        raise WeightsError(f"{source} is a Stable Diffusion 1, expected a 2.1; name one, such as 2.1-base")
    if not any(key.startswith(unet_prefix) for key in weights):
        raise WeightsError(f"{source} is no Stable Diffusion: it has no keys {unet_prefix}...; name another file")

"""Frozen CLIP vision towers: pictures to the embeddings that MPerceiver's predictor and CM-Adapter read."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import CLIPVisionConfig

from ldrestore.errors import ShapeError, UnknownNameError, WeightsError, WeightsUnavailableError
from ldrestore.guides.clip_views import NATIVE_CROP, native_views, squashed_view
from ldrestore.guides.loading_quietly import without_load_report, without_progress_bar
from ldrestore.weights.fitting import align_weights
from ldrestore.weights.folders import find_folder, read_json

if TYPE_CHECKING:
    from transformers import CLIPVisionModelWithProjection

DEFAULT_TOWER = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
"""OpenCLIP's ViT-H/14 in the layout of transformers, MIT; its embeddings are 1024 wide."""

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
"""Of red, green and blue in [0, 1], over the pictures that CLIP was trained on."""

OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
"""Standard deviation of the same."""

TOWER_FILES = ("config.json", "preprocessor_config.json", "model*.safetensors", "model.safetensors.index.json")
"""What is fetched of a Hub repository; other layouts of the same weights lie beside these."""

TowerView = Literal["native", "released"]
"""What the tower is shown: crops at the picture's own scale beside the squashed whole, or that alone."""

VIEWS: tuple[TowerView, ...] = get_args(TowerView)


class ClipTower(nn.Module):
    """The frozen vision half of a CLIP, Radford et al. 2021, Sec. 2.4 (https://arxiv.org/abs/2103.00020).

    How pictures are prepared stands in the model's config, and so is saved with the model: `image_mean` and
    `image_std`, for which OpenAI's are taken where they are missing, and `native_crop_size` in pixels, 512 where it is
    missing. Embeddings are projected and not normalised, as MPerceiver's predictor was trained with.
    """

    def __init__(self, model: "CLIPVisionModelWithProjection") -> None:
        """Wrap and freeze a model.

        Args:
            model: With its own preparation of pictures in its config, where that is not OpenAI's.
        """
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.dim: int = model.config.projection_dim
        self.size: int = model.config.image_size
        self.mean: tuple[float, ...] = tuple(getattr(model.config, "image_mean", OPENAI_MEAN))
        self.std: tuple[float, ...] = tuple(getattr(model.config, "image_std", OPENAI_STD))
        self.crop_size: int = getattr(model.config, "native_crop_size", NATIVE_CROP)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = DEFAULT_TOWER,
        *,
        revision: str | None = None,
        local_files_only: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> "ClipTower":
        """Load a tower from a folder or the Hub: of a whole CLIP, or of a tower alone.

        Args:
            name_or_path: A folder, or a Hub repository "owner/name", in the layout of transformers; `convert` makes
                such a folder of OpenCLIP's checkpoints.
            revision: Branch, tag or commit of the repository.
            local_files_only: Whether only the cache of the Hub is looked into.
            dtype: Number format of its weights.

        Raises:
            WeightsUnavailableError: nothing lies there, it cannot be fetched, or it has no safetensors weights.
            WeightsError: it is damaged, or no CLIP.
        """
        folder = find_folder(name_or_path, revision=revision, local_files_only=local_files_only, patterns=TOWER_FILES)
        if not any(folder.glob("model*.safetensors")):
            raise WeightsUnavailableError(
                f"{folder} is no CLIP in the layout of transformers: it has no model.safetensors; name its folder, or "
                "make one of OpenCLIP's checkpoint with ldrestore.conversion.convert('clip_tower', ...)"
            )
        model = _load(folder, _tower_config(folder), dtype=dtype)
        align_weights(model)
        name = Path(name_or_path).resolve().name if Path(name_or_path).is_dir() else str(name_or_path)
        model.config.name_or_path = model.name_or_path = name  # not the Hub's cache, which tells others nothing
        return cls(model)

    def prepare(self, lq: Tensor, *, view: TowerView = "native") -> Tensor:
        """What the tower is shown of pictures.

        Args:
            lq: (B, 3, H, W), in [0, 1].
            view: "released" squashes the whole picture; "native" shows crops of it too.

        Returns:
            (B, K, 3, S, S), float32, of mean 0 and standard deviation 1 over CLIP's pictures; K = 1 for "released".

        Raises:
            ShapeError: the pictures have another shape.
            UnknownNameError: no such view.
        """
        if lq.ndim != 4 or lq.shape[1] != 3 or 0 in lq.shape:
            raise ShapeError(f"expected pictures of shape (B, 3, H, W), got {tuple(lq.shape)}")
        if view not in VIEWS:
            raise UnknownNameError("view", view, VIEWS)
        if view == "native":
            views = native_views(lq, self.size, crop_size=self.crop_size)  # (B, K, 3, S, S)
        else:
            views = squashed_view(lq, self.size).unsqueeze(1)  # (B, 1, 3, S, S)
        mean, std = (views.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (views - mean) / std

    @torch.no_grad()
    def forward(self, lq: Tensor, *, view: TowerView = "native") -> Tensor:
        """Embed pictures.

        The predictor averages its logits over the views; for the CM-Adapter take the mean over them, dim 1.

        Args:
            lq: (B, 3, H, W), in [0, 1], on the tower's device.
            view: What the tower is shown.

        Returns:
            (B, K, D), float32, one a view; K = 1 for "released".

        Raises:
            ShapeError: the pictures have another shape.
            UnknownNameError: no such view.
        """
        views = self.prepare(lq, view=view)
        embeddings = self.model(pixel_values=views.flatten(0, 1)).image_embeds  # (B * K, D)
        return embeddings.float().unflatten(0, views.shape[:2])

    def train(self, mode: bool = True) -> "ClipTower":
        """Stay in evaluation mode: a frozen tower has no other."""
        return super().train(False)


def _tower_config(folder: Path) -> CLIPVisionConfig:
    """The config of a folder's tower, with the preparation of pictures that lies beside it.

    Raises:
        WeightsError: it is damaged, or no CLIP's.
    """
    content = read_json(folder / "config.json")
    kind = content.get("model_type")
    values: dict[str, Any] = content
    if kind == "clip":  # the towers of a whole CLIP share one space, whose width stands beside them
        values = {**content.get("vision_config", {}), "projection_dim": content.get("projection_dim", 512)}
    elif kind != "clip_vision_model":
        raise WeightsError(f"{folder} holds a model of type {kind!r}, expected a CLIP; name the folder of one")
    processor = folder / "preprocessor_config.json"
    if processor.is_file():
        prepared = read_json(processor)
        values = {**values, **{key: prepared[key] for key in ("image_mean", "image_std") if key in prepared}}
    try:
        return CLIPVisionConfig.from_dict(values)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{folder}: its config builds no CLIP tower ({error}); fetch it again") from error


def _load(folder: Path, config: CLIPVisionConfig, *, dtype: torch.dtype) -> "CLIPVisionModelWithProjection":
    """The tower of a folder; the text half of a whole CLIP is left where it is.

    Raises:
        WeightsError: a file is damaged or missing, or weights are.
    """
    from transformers import CLIPVisionModelWithProjection  # slow to import, and needed only to load

    try:
        with without_progress_bar(), without_load_report():
            model, report = CLIPVisionModelWithProjection.from_pretrained(
                folder,
                config=config,
                local_files_only=True,
                use_safetensors=True,
                dtype=dtype,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, LookupError, SafetensorError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{folder} cannot be loaded as a CLIP tower ({reason}); fetch it again") from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise WeightsError(f"{folder} has no weights for {', '.join(missing[:4])}; fetch it again")
    return model

"""Captions to text features: what DATPRL-IR's domain prompts are aligned with while they are trained."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ldrestore.errors import ConfigError, InputError, MissingExtraError
from ldrestore.guides.guide_identity import GuideIdentity
from ldrestore.weights.fitting import align_weights, load_strictly
from ldrestore.weights.folders import find_folder
from ldrestore.weights.hashes import hash_of_weights
from ldrestore.weights.published_files import read_checkpoint

if TYPE_CHECKING:
    from open_clip import CLIP

DEFAULT_CLIP = "timm/resnet50_clip.openai"
"""OpenAI's CLIP RN50 in OpenCLIP's layout, MIT; its text features are 1024 wide."""

ARCHITECTURE = "RN50-quickgelu"
"""OpenCLIP's name of the network; OpenAI's weights were trained with the quick GELU."""

WEIGHTS_FILE = "open_clip_model.safetensors"

CAPTION_COLUMNS = ("path", "text")
"""Header of a captions file."""


class ClipTextEncoder(nn.Module):
    """The frozen text half of a CLIP, Radford et al. 2021, Sec. 2.4 (https://arxiv.org/abs/2103.00020)."""

    def __init__(
        self, model: "CLIP", tokenizer: Callable[[list[str]], Tensor], *, name: str, sha256: str | None, width: int
    ) -> None:
        """Wrap and freeze a model.

        Args:
            model: With OpenCLIP's `encode_text`, (B, 77) tokens to (B, width).
            tokenizer: B sentences to (B, 77) tokens; what is longer is cut off.
            name: Hub repository, or the name of a folder.
            sha256: Of its weights.
            width: Of the features.
        """
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.width = width
        self.identity = GuideIdentity(name=name, sha256=sha256, question=None, shape=(width,))

    @torch.no_grad()
    def forward(self, captions: Sequence[str]) -> Tensor:
        """Embed captions.

        Args:
            captions: B of them, at least one.

        Returns:
            (B, width), float32, not normalised, on the encoder's device.

        Raises:
            InputError: there is no caption, or one is no text.
        """
        if isinstance(captions, str) or not captions or not all(isinstance(text, str) for text in captions):
            raise InputError(f"expected a list of captions, got {captions!r:.80}")
        tokens = self.tokenizer(list(captions)).to(next(self.model.parameters()).device)  # (B, 77)
        return self.model.encode_text(tokens).float()

    def train(self, mode: bool = True) -> "ClipTextEncoder":
        """Stay in evaluation mode: a frozen encoder has no other."""
        return super().train(False)


def load_clip_text(
    name_or_path: str | Path = DEFAULT_CLIP,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    local_files_only: bool = False,
) -> ClipTextEncoder:
    """Load CLIP RN50's text half from a folder or the Hub; only safetensors are read.

    Args:
        name_or_path: A folder, or a Hub repository "owner/name", with `open_clip_model.safetensors`.
        device: Where it runs.
        dtype: Number format of its weights.
        local_files_only: Whether only the cache of the Hub is looked into.

    Raises:
        MissingExtraError: OpenCLIP is not installed.
        WeightsUnavailableError: nothing lies there, or it cannot be fetched.
        WeightsError: it is damaged, or the weights of another network.
    """
    try:
        import open_clip
    except ImportError:
        raise MissingExtraError("open_clip_torch", "clip", "to turn captions into text features") from None
    folder = find_folder(name_or_path, local_files_only=local_files_only, patterns=(WEIGHTS_FILE,))
    name = folder.resolve().name if Path(name_or_path).is_dir() else str(name_or_path)
    weights = read_checkpoint(folder / WEIGHTS_FILE)
    model = open_clip.create_model(ARCHITECTURE, pretrained=None)
    del model.visual  # pictures are not looked at
    text_weights = {key: tensor for key, tensor in weights.items() if not key.startswith("visual.")}
    load_strictly(model, text_weights, source=str(folder / WEIGHTS_FILE))
    align_weights(model)
    digest = hash_of_weights(model)
    width = int(model.text_projection.shape[-1])
    tokenizer = open_clip.get_tokenizer(ARCHITECTURE)
    return ClipTextEncoder(model.to(device, dtype), tokenizer, name=name, sha256=digest, width=width)


def read_captions(path: str | Path) -> dict[str, str]:
    """Captions of the pictures of a folder.

    Args:
        path: CSV in UTF-8 with the header `path,text`; paths are relative to the folder, with "/" between parts.

    Returns:
        Path to caption.

    Raises:
        ConfigError: no such file, another header, a line without path or text, or a path that occurs twice.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if sorted(reader.fieldnames or ()) != sorted(CAPTION_COLUMNS):
                raise ConfigError(
                    f"{path} must begin with the line `{','.join(CAPTION_COLUMNS)}`, got columns {reader.fieldnames}"
                )
            return _captions_of(reader, path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read as captions ({error}); give a CSV file in UTF-8") from error


def _captions_of(reader: "csv.DictReader[str]", path: Path) -> dict[str, str]:
    """The rows of a captions file; see `read_captions`.

    Raises:
        ConfigError: a row is incomplete, or a path occurs twice.
    """
    captions: dict[str, str] = {}
    for row in reader:
        name, text = ((row[column] or "").strip() for column in CAPTION_COLUMNS)
        if not name or not text or None in row:
            raise ConfigError(
                f"{path}, line {reader.line_num}: expected a path and a text, got {list(row.values())}; put a text "
                "with commas in double quotes"
            )
        key = Path(name).as_posix()
        if key in captions:
            raise ConfigError(f"{path}, line {reader.line_num}: {name} has a caption already; keep one")
        captions[key] = text
    if not captions:
        raise ConfigError(f"{path} has no captions; add lines such as `a.png,a street in heavy rain`")
    return captions

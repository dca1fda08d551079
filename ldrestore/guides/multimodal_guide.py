"""Multimodal language models that look at a picture and are asked what is wrong with it; nothing is generated."""

import hashlib
import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor, nn

from ldrestore.errors import InputError, MissingExtraError, ShapeError, WeightsError
from ldrestore.guides.guide_identity import GuideIdentity
from ldrestore.guides.loading_quietly import without_progress_bar
from ldrestore.images.inputs import ImageInput, to_photo
from ldrestore.images.photo import Photo
from ldrestore.weights.file_names import MODEL_FILES
from ldrestore.weights.fitting import align_weights
from ldrestore.weights.folders import find_folder
from ldrestore.weights.hashes import hash_of_file

if TYPE_CHECKING:
    from transformers import PreTrainedModel

DEFAULT_GUIDE = "Qwen/Qwen2.5-VL-3B-Instruct"
"""The guide of MMFE-IR; 2048 wide. Its weights are for research (Qwen Research License)."""

DEFAULT_QUESTION = "What kinds of degradation are in this image?"
"""Asked of each picture; the paper gives an example of its questions, not all of them."""

GUIDE_FILES = (*MODEL_FILES, "*.jinja")
"""What is fetched: weights and configuration, chat template and vocabulary; never code."""

MAX_PIXELS = 1024 * 1024
"""Larger pictures are reduced to this before the guide sees them, which bounds the tokens of a prefill."""

NUM_VECTORS = 3
"""E_Image, E_Joint and E_Answer."""

_PACKAGES = ("torchvision", "timm")
"""What transformers needs for some guides' pictures and towers; the extra `guide` brings them."""


class MultimodalGuide(nn.Module):
    """A frozen model whose last hidden states say how a picture is degraded, Sec. 3 of MMFE-IR (https://arxiv.org/abs/2605.11444).

    One prefill a picture: picture and question go in, and the states after the last decoder layer (and the norm that
    follows it) come out. A picture's embedding does not depend on what it is shown with.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        processor: Any,
        *,
        name: str,
        sha256: str | None,
        question: str = DEFAULT_QUESTION,
    ) -> None:
        """Wrap and freeze a model.

        Args:
            model: An image-text-to-text model of transformers; its head over words is not used.
            processor: Its processor, with a chat template.
            name: Hub repository, or the name of a folder.
            sha256: Over the files that it was loaded from.
            question: What it is asked about each picture.

        Raises:
            InputError: the question is empty.
            WeightsError: the model is none that reads picture and words as one row of tokens.
        """
        super().__init__()
        if not question.strip():
            raise InputError("the question is empty; ask what is wrong with the picture")
        config = model.config.get_text_config()
        self.image_token: int | None = getattr(model.config, "image_token_id", None)
        if self.image_token is None or getattr(config, "is_encoder_decoder", False):
            raise WeightsError(
                f"{name} marks no image tokens in the row that its decoder reads; take a guide such as {DEFAULT_GUIDE}"
            )
        self.model = model.base_model.eval().requires_grad_(False)
        self.processor = processor
        self.width: int = config.hidden_size
        self.identity = GuideIdentity(
            name=name, sha256=sha256, question=question, shape=(NUM_VECTORS, int(config.hidden_size))
        )
        self._prompt = _prompt_of(processor, question, name=name)

    @torch.no_grad()
    def forward(self, images: Sequence[ImageInput]) -> Tensor:
        """Embed pictures, one prefill each.

        Args:
            images: B of them, at least one; see `ImageInput`. Deep pictures are shown with 8 bits, without alpha.

        Returns:
            (B, 3, width), float32, on the guide's device: E_Image, E_Joint, E_Answer.

        Raises:
            InputError: there is no picture, or the guide refuses one, such as one that is extremely long.
            WeightsError: the model answers in another way than such guides do.
        """
        if isinstance(images, (str, Path, Photo)) or len(images) == 0:
            raise InputError("expected a list of pictures, at least one")
        return torch.stack([self._embed(to_photo(image)) for image in images])

    def _embed(self, photo: Photo) -> Tensor:
        """One picture; see `forward`. Returns (3, width)."""
        try:
            inputs = self.processor(text=[self._prompt], images=[shown_picture(photo)], return_tensors="pt")
        except ValueError as error:
            raise InputError(
                f"{self.identity.name} cannot look at a picture of {photo.width}x{photo.height} ({error})"
            ) from error
        parameter = next(self.model.parameters())
        inputs = inputs.to(parameter.device, dtype=parameter.dtype)
        hidden_states = getattr(self.model(**inputs, use_cache=False), "last_hidden_state", None)  # (1, L, D)
        input_ids = inputs["input_ids"]  # (1, L)
        if hidden_states is None or hidden_states.shape[:2] != input_ids.shape:
            raise WeightsError(f"{self.identity.name} gives no hidden state for each token; take another guide")
        return pooled_states(
            hidden_states, is_image=input_ids == self.image_token, attention_mask=inputs["attention_mask"]
        )[0]

    def train(self, mode: bool = True) -> "MultimodalGuide":
        """Stay in evaluation mode: a frozen guide has no other."""
        return super().train(False)


def pooled_states(hidden_states: Tensor, *, is_image: Tensor, attention_mask: Tensor) -> Tensor:
    """Three vectors of a row of hidden states, Sec. 3 of MMFE-IR.

    Args:
        hidden_states: (B, L, D), of the last decoder layer.
        is_image: (B, L) boolean, the tokens that stand for the picture.
        attention_mask: (B, L), 1 for a token, 0 for padding on either side.

    Returns:
        (B, 3, D), float32: E_Image, the mean over the image tokens; E_Joint, the mean over all; E_Answer, the last
        one, from which the answer's first word would be drawn.

    Raises:
        ShapeError: a row has no image token.
    """
    states = hidden_states.float()  # sums of a thousand half-precision numbers lose their last digits
    mask = attention_mask.bool()
    is_image = is_image & mask
    if not is_image.any(dim=1).all():
        raise ShapeError("a row of hidden states has no image token; the picture was not shown to the guide")
    positions = torch.arange(mask.shape[1], device=mask.device)
    last = (positions * mask).argmax(dim=1)  # (B,)
    image = _mean(states, is_image)
    joint = _mean(states, mask)
    answer = states[torch.arange(len(states), device=states.device), last]  # (B, D)
    return torch.stack([image, joint, answer], dim=1)


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    """(B, L, D) and (B, L) boolean to (B, D)."""
    weights = mask[..., None].to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1)


def shown_picture(photo: Photo) -> Image.Image:
    """What a guide sees of a photo: 8-bit RGB without alpha, reduced where it has more than `MAX_PIXELS`."""
    image = photo.to_pil().convert("RGB")
    factor = math.sqrt(MAX_PIXELS / (image.width * image.height))
    if factor >= 1:
        return image
    size = (max(1, int(image.width * factor)), max(1, int(image.height * factor)))
    return image.resize(size, Image.Resampling.LANCZOS)


def load_multimodal_guide(
    name_or_path: str | Path = DEFAULT_GUIDE,
    *,
    question: str = DEFAULT_QUESTION,
    revision: str | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    local_files_only: bool = False,
) -> MultimodalGuide:
    """Load a guide from a folder or the Hub, without running any code that lies there.

    Args:
        name_or_path: A folder, or a Hub repository "owner/name"; any image-text-to-text model that transformers knows
            and that marks image tokens. Its width is read from it.
        question: What it is asked about each picture.
        revision: Branch, tag or commit of the repository.
        device: Where it runs.
        dtype: Number format of its weights; float16 overflows in some guides.
        local_files_only: Whether only the cache of the Hub is looked into.

    Raises:
        WeightsUnavailableError: nothing lies there, or it cannot be fetched.
        WeightsError: it is damaged, or no such model.
        MissingExtraError: a package that it needs is not installed.
        InputError: the question is empty.
    """
    folder = find_folder(name_or_path, revision=revision, local_files_only=local_files_only, patterns=GUIDE_FILES)
    name = folder.resolve().name if Path(name_or_path).is_dir() else str(name_or_path)
    model, processor = _load(folder, dtype=dtype)
    align_weights(model)
    return MultimodalGuide(
        model.to(device), processor, name=name, sha256=hash_of_guide_files(folder), question=question
    )


def hash_of_guide_files(folder: Path) -> str:
    """SHA-256 over names and contents of all files that decide what a guide says, as hexadecimal digits.

    Weights, configuration, chat template, vocabulary and the size of the picture it sees; reads all of them once.
    """
    digest = hashlib.sha256()
    paths = {path for pattern in GUIDE_FILES if pattern != "*.md" for path in folder.glob(pattern)}
    for path in sorted(paths, key=lambda path: path.name):
        if path.name != "generation_config.json":
            digest.update(f"{path.name} {hash_of_file(path)}\n".encode())
    return digest.hexdigest()


def _load(folder: Path, *, dtype: torch.dtype) -> tuple[Any, Any]:
    """Model and processor of a folder.

    Raises:
        WeightsError: a file is damaged or missing, weights are, or the model is of another kind.
        MissingExtraError: a package is not installed.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor, ProcessorMixin  # two seconds

    try:
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        with without_progress_bar():
            model, report = AutoModelForImageTextToText.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=dtype,
                output_loading_info=True,
            )
    except ImportError as error:
        missing = [package for package in _PACKAGES if importlib.util.find_spec(package) is None]
        if missing:
            raise MissingExtraError(missing[0], "guide", "to run this multimodal guide") from error
        raise WeightsError(f"{folder} needs a package that is not installed ({_first_line(error)})") from error
    except (OSError, ValueError, RuntimeError, LookupError, SafetensorError) as error:
        raise WeightsError(
            f"{folder} cannot be loaded as a multimodal guide ({_first_line(error)}); fetch it again, or take a model "
            "that transformers knows by itself: code in a repository is never run"
        ) from error
    if not isinstance(processor, ProcessorMixin):  # transformers hands out a tokenizer where it finds nothing else
        raise WeightsError(f"{folder} has no processor that takes pictures and words; fetch it again")
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("lm_head."))
    if missing:
        raise WeightsError(f"{folder} has no weights for {', '.join(missing[:4])}; fetch it again")
    return model, processor


def _prompt_of(processor: Any, question: str, *, name: str) -> str:
    """Picture and question as the guide was taught to read them, up to where its answer would begin.

    Raises:
        WeightsError: the processor has no chat template, or it is damaged.
    """
    content = [{"type": "image"}, {"type": "text", "text": question}]
    try:
        return processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
    except (AttributeError, ValueError) as error:
        raise WeightsError(
            f"{name} has no chat template for pictures ({_first_line(error)}); take an instruction-tuned guide"
        ) from error


def _first_line(error: Exception) -> str:
    """The first line of an error's message, or its class."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

"""The text head of InstructIR in the published layout, Conde et al. 2024 (https://arxiv.org/abs/2401.16468)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F

from ldrestore.errors import ConfigError, ShapeError, WeightsError
from ldrestore.guides.sentence_encoder import DEFAULT_ENCODER, EncoderIdentity, SentenceEncoder
from ldrestore.regressors.factory import embedding_shape_of
from ldrestore.regressors.onnx_regressor import OnnxRegressor
from ldrestore.weights.fitting import align_weights, check_fit, read_shapes
from ldrestore.weights.folders import find_folder, read_json

CLASSES = ("noise", "blur", "rain", "haze", "low_light", "super_resolution", "enhancement")
"""What an instruction may ask for, in the published order."""

NEUTRAL_TEXT = "Restore this picture."
"""An instruction that asks for nothing in particular."""


class InstructionHead(ModelMixin, ConfigMixin):
    """Turns the vector of a sentence into the embedding that steers InstructIR, and tells what is asked for.

        t = W1 e + b1,  embedding = t / |t|,  logits = W2 embedding + b2.

    The paper has a two-layer perceptron with an activation; the published weights have none between the layers, and
    neither has this. Attribute names are those of the published checkpoint.
    """

    @register_to_config
    def __init__(
        self,
        encoder_name: str = DEFAULT_ENCODER,
        encoder_sha256: str | None = None,
        encoder_dim: int = 384,
        txtdim: int = 256,
        classes: Sequence[str] = CLASSES,
        neutral_text: str | None = None,
    ) -> None:
        """Build the head; the defaults are the published layout.

        Args:
            encoder_name: The sentence encoder that it was trained on.
            encoder_sha256: Of that encoder's weights file; None where it is not known.
            encoder_dim: Width of the sentence vectors.
            txtdim: D of the embedding.
            classes: Names of the logits, in their order.
            neutral_text: The instruction that stands for none, see `set_neutral`. None for published heads: they come
                without such an embedding, and only their encoder could make one.

        Raises:
            ConfigError: fewer than two classes, or a size is not positive.
        """
        super().__init__()
        if len(classes) < 2 or min(encoder_dim, txtdim) < 1:
            raise ConfigError(
                f"expected two or more classes and positive sizes, got {list(classes)}, {encoder_dim} and {txtdim}"
            )
        self.fc1 = nn.Linear(encoder_dim, txtdim)
        self.fc2 = nn.Linear(txtdim, len(classes))
        self.neutral: Tensor | None
        self.register_buffer("neutral", None if neutral_text is None else torch.zeros(txtdim))

    @property
    def encoder_identity(self) -> EncoderIdentity:
        """The encoder that the head was trained on."""
        return EncoderIdentity(self.config["encoder_name"], self.config["encoder_sha256"])

    def forward(self, sentences: Tensor) -> tuple[Tensor, Tensor]:
        """Embed and classify.

        Args:
            sentences: (B, encoder_dim), each of length 1.

        Returns:
            (B, txtdim), each of length 1, and (B, K) logits of `config.classes`.

        Raises:
            ShapeError: the sentences have another shape.
        """
        if sentences.ndim != 2 or sentences.shape[1] != self.config["encoder_dim"]:
            raise ShapeError(
                f"expected sentences of shape (B, {self.config['encoder_dim']}), got {tuple(sentences.shape)}"
            )
        embedding = F.normalize(self.fc1(sentences), dim=-1)  # (B, D)
        return embedding, self.fc2(embedding)

    @torch.no_grad()
    def set_neutral(self, encoder: SentenceEncoder, text: str = NEUTRAL_TEXT) -> None:
        """Keep the embedding of an instruction that stands for none, so that none needs no encoder.

        Args:
            encoder: The head's own.
            text: The instruction.

        Raises:
            WeightsError: another encoder.
        """
        self.check_encoder(encoder.identity, dim=encoder.dim)
        self.neutral = self(encoder([text]).to(self.device, self.dtype))[0][0]  # (D,)
        self.register_to_config(neutral_text=text)

    def check_encoder(self, identity: EncoderIdentity, *, dim: int) -> None:
        """Refuse another encoder than the head was trained on: its vectors would mean nothing here.

        Args:
            identity: Which encoder it is.
            dim: Width of its vectors.

        Raises:
            WeightsError: it is another one.
        """
        if dim != self.config["encoder_dim"] or not self.encoder_identity.is_same(identity):
            raise WeightsError(
                f"this head reads vectors of {self.encoder_identity}, {self.config['encoder_dim']} wide, "
                f"got those of {identity}, {dim} wide; load the encoder that it names, or a head of yours"
            )


def options_of_checkpoint(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Constructor arguments that a checkpoint's shapes call for; encoder and class names leave no trace in them.

    Args:
        weights: Key to tensor; has "fc1.weight" and "fc2.weight".
    """
    txtdim, encoder_dim = weights["fc1.weight"].shape
    return {"encoder_dim": encoder_dim, "txtdim": txtdim}


def load_instruction_head(name_or_path: str | Path) -> InstructionHead:
    """Load a saved head in float32; every weight must be there.

    Args:
        name_or_path: A folder that `convert` or `save_pretrained` wrote, or a Hub repository "owner/name".

    Raises:
        WeightsUnavailableError: nothing lies there, or it cannot be fetched.
        WeightsError: it is damaged, or no such head.
    """
    folder = find_folder(name_or_path)
    config = read_json(folder / "config.json")
    if config.get("_class_name") != InstructionHead.__name__:
        raise WeightsError(f"{folder} holds a {config.get('_class_name')}, expected an {InstructionHead.__name__}")
    try:
        head = InstructionHead.from_config(config)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{folder}: its config builds no {InstructionHead.__name__} ({error})") from error
    check_fit(head, read_shapes(folder), source=str(folder))
    head = InstructionHead.from_pretrained(folder, use_safetensors=True)
    align_weights(head)
    name = folder.resolve().name if Path(name_or_path).is_dir() else str(name_or_path)
    head.register_to_config(_name_or_path=name)  # saved again, it does not tell where on this disk it came from
    return head.eval()


def check_pair(regressor: ModelMixin | OnnxRegressor, head: InstructionHead) -> None:
    """Refuse a head whose embeddings the network cannot take.

    Raises:
        WeightsError: the network takes none, or none of that width.
    """
    shape, width = embedding_shape_of(regressor), head.config["txtdim"]
    name = type(regressor).__name__
    if shape is None:
        raise WeightsError(f"{name} takes no embeddings, so that it can have no instruction head; leave the head out")
    if shape != (width,):
        raise WeightsError(
            f"this instruction head gives embeddings of shape ({width},), {name} takes {shape}; "
            "use the head that it was trained with"
        )

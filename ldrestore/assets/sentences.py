"""The embedded instructions, written for training and testing an instruction head."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from ldrestore.errors import ConfigError

INSTRUCTIONS_FOLDER = Path(__file__).resolve().parent / "instructions"

TRAINING_FILE = INSTRUCTIONS_FOLDER / "train.yaml"
"""What a head is trained on."""

HELD_OUT_FILE = INSTRUCTIONS_FOLDER / "held_out.yaml"
"""What it is measured on, and nothing else: other words and other sentences."""

OUTSIDE = "outside"
"""Class of what no restorer does, and of other languages than English."""


@dataclass(frozen=True, slots=True)
class LabelledSentence:
    """What somebody may say."""

    text: str
    """The sentence."""
    class_name: str
    """What it asks for: a class of the head, or `OUTSIDE`."""
    topic: str
    """The degradation that it is about, or, outside, why it is there."""


def read_sentences(path: Path) -> list[LabelledSentence]:
    """Read a file of instructions.

    Args:
        path: YAML: class to topic to a list of sentences.

    Raises:
        ConfigError: the file has another structure.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        topics_of = [(name, topic, texts) for name, topics in document.items() for topic, texts in topics.items()]
        if not all(isinstance(texts, list) for _, _, texts in topics_of):  # of a text each letter would be a sentence
            raise TypeError
        found = [LabelledSentence(text, name, topic) for name, topic, texts in topics_of for text in texts]
    except (AttributeError, TypeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} must map a class to topics, and each topic to a list of sentences") from error
    strange = [sentence for sentence in found if not isinstance(sentence.text, str) or not sentence.text.strip()]
    if strange:
        raise ConfigError(
            f"{path}: {strange[0].text!r} under {strange[0].topic} is no sentence; quote what YAML misreads"
        )
    return found

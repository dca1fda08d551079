"""Instructions in training: sentences drawn for what a picture suffers from, and the head that learns to read them.

Conde et al. 2024, InstructIR, section 4.1 (https://arxiv.org/abs/2401.16468): the sentence encoder is frozen, head and
image network are trained together, by L1 on the picture and cross-entropy on what was asked for.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusers import ModelMixin
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from ldrestore.assets.sentences import HELD_OUT_FILE, OUTSIDE, TRAINING_FILE, LabelledSentence, read_sentences
from ldrestore.datasets.compared_pairs import CLEAN_RECIPE
from ldrestore.datasets.seeds import Key, item_generator
from ldrestore.degradations.recipes import list_degradations, parse_recipe
from ldrestore.errors import ConfigError
from ldrestore.guides.sentence_encoder import SentenceEncoder, load_packaged_encoder
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import width_of_embedding
from ldrestore.regressors.instruction_encoder import HEAD_FOLDER
from ldrestore.regressors.instruction_head import CLASSES, NEUTRAL_TEXT, InstructionHead, load_instruction_head
from ldrestore.training.data.guidance_config import InstructionConfig
from ldrestore.training.data.training_data import PairDataset
from ldrestore.training.losses.validation import UNNAMED_PAIRS

NO_CLASS = -100
"""Class of the neutral instruction, which the cross-entropy leaves out."""

SEED_OFFSET = 1_000_003
"""Sentences have random numbers of their own, so that pictures are the same with and without them."""


class Instructions:
    """All sentences as vectors, by the degradation that they are about."""

    def __init__(self, config: InstructionConfig) -> None:
        """Embed the sentences, once and for all.

        Args:
            config: Which sentences, which encoder.

        Raises:
            MissingExtraError: the packaged encoder is not installed.
            WeightsError: the encoder is damaged, or cannot be had.
            ConfigError: the file has another structure, or no sentence about a degradation.
        """
        self.config = config
        self.encoder = load_packaged_encoder() if config.encoder == "packaged" else _load_encoder(config.encoder)
        self.neutral = self.encoder([NEUTRAL_TEXT])[0].cpu()  # (E,)
        sentences = self._embed(config.sentences or TRAINING_FILE)
        self.vectors, self.classes, self.topics = sentences
        held_out = self._embed(HELD_OUT_FILE) if config.sentences is None else sentences
        self._validation = {topic: held_out[0][rows[0]] for topic, rows in held_out[2].items()}

    def _embed(self, path: Path) -> tuple[Tensor, list[int], dict[str, list[int]]]:
        """Vectors (S, E), class of each, and the rows of each topic.

        Raises:
            ConfigError: no sentence is about a degradation.
        """
        known = set(list_degradations())
        sentences = [sentence for sentence in read_sentences(path) if _is_told(sentence, known)]
        if not sentences:
            raise ConfigError(f"{path} has no sentence about a degradation; see list_degradations()")
        topics: dict[str, list[int]] = {}
        for row, sentence in enumerate(sentences):
            topics.setdefault(sentence.topic, []).append(row)
        vectors = self.encoder([sentence.text for sentence in sentences]).cpu()
        return vectors, [CLASSES.index(sentence.class_name) for sentence in sentences], topics

    def create_head(self, *, txtdim: int) -> InstructionHead:
        """The head to train, which knows its encoder.

        Args:
            txtdim: D of the embedding that the network takes.

        Raises:
            WeightsError: the saved head belongs to another encoder.
            ConfigError: its embedding has another width.
        """
        if self.config.head == "new":
            identity = self.encoder.identity
            return InstructionHead(
                encoder_name=identity.name,
                encoder_sha256=identity.sha256,
                encoder_dim=self.encoder.dim,
                txtdim=txtdim,
            )
        if self.config.head == "embedded":
            head = load_instruction_head(HEAD_FOLDER)
        else:
            head = load_instruction_head(self.config.head)
        head.check_encoder(self.encoder.identity, dim=self.encoder.dim)
        if head.config["txtdim"] != txtdim:
            raise ConfigError(f"the head gives {head.config['txtdim']} values, the network takes {txtdim}")
        return head

    def sentence_of(self, recipe: str) -> Tensor:
        """What is said of a validation picture: a sentence about the first degradation of its recipe that has one.

        The sentences are held out of training, where they are the embedded ones.

        Args:
            recipe: Or "clean" or `UNNAMED_PAIRS`, which get the neutral instruction.

        Returns:
            (E,).
        """
        steps = [] if recipe in (CLEAN_RECIPE, UNNAMED_PAIRS) else parse_recipe(recipe).steps
        found = [self._validation[step.name] for step in steps if step.name in self._validation]
        return found[0] if found else self.neutral

    def export(self, regressor: ModelMixin, weights: dict[str, Tensor], folder: Path) -> None:
        """Write a pipeline with its head.

        Args:
            regressor: Filled in place.
            weights: Of an `InstructedRegressor`.
            folder: Where to.
        """
        head = self.create_head(txtdim=width_of_embedding(regressor))
        InstructedRegressor(regressor, head).load_state_dict(weights)
        head.set_neutral(self.encoder, NEUTRAL_TEXT)
        FastRestorePipeline(regressor=regressor.eval(), instruction_head=head.eval()).save_pretrained(folder)


class InstructedRegressor(nn.Module):
    """A network and the head that reads its instructions, trained together."""

    def __init__(self, regressor: nn.Module, head: InstructionHead) -> None:
        """Put both together.

        Args:
            regressor: Takes `embedding`.
            head: Gives it.
        """
        super().__init__()
        self.regressor, self.head = regressor, head

    def forward(self, lq: Tensor, *, sentence: Tensor) -> tuple[Tensor, Tensor] | Tensor:
        """Restore as the sentences say.

        Args:
            lq: (B, 3, H, W), in [0, 1].
            sentence: (B, E), vectors of the sentence encoder.

        Returns:
            In training, (B, 3, H, W) and the logits (B, K) of what is asked for; else the pictures alone.
        """
        embedding, logits = self.head(sentence)
        restored = self.regressor(lq, embedding=embedding)
        return (restored, logits) if self.training else restored


class InstructedDataset(Dataset[dict[str, Any]]):
    """A data set whose items also have a sentence about what they suffer from; a pure function of (seed, epoch, index).

    Adds "sentence" (E,) and "class_index". A share of the pictures, and those that no sentence fits, get the neutral
    instruction and `NO_CLASS`.
    """

    def __init__(self, dataset: PairDataset, instructions: Instructions, *, seed: int) -> None:
        """Put sentences beside pictures.

        Args:
            dataset: Its items have "degradations".
            instructions: The sentences.
            seed: The run's seed.
        """
        self.dataset, self.instructions, self.seed = dataset, instructions, seed

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.dataset)

    def source_path(self, index: int) -> Path:
        """The file that an item is cut from."""
        return self.dataset.source_path(index)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """One item; see the class."""
        item = self.dataset[key]
        instructions = self.instructions
        generator = item_generator(self.seed + SEED_OFFSET, key)
        names = [name for name, level in zip(list_degradations(), item["degradations"], strict=True) if level > 0]
        topics = [name for name in names if name in instructions.topics]
        row = None
        if topics and generator.random() >= instructions.config.untold_share:
            rows = instructions.topics[topics[int(generator.integers(len(topics)))]]
            row = rows[int(generator.integers(len(rows)))]
        return {
            **item,
            "sentence": instructions.neutral if row is None else instructions.vectors[row],
            "class_index": NO_CLASS if row is None else instructions.classes[row],
        }


def class_loss(logits: Tensor, class_index: Tensor) -> Tensor:
    """Cross-entropy of what was asked for, over the pictures that have a class.

    Args:
        logits: (B, K).
        class_index: (B,), `NO_CLASS` for the neutral instruction.

    Returns:
        A scalar, float32; 0 where no picture has a class.
    """
    total = functional.cross_entropy(logits.float(), class_index, ignore_index=NO_CLASS, reduction="sum")
    return total / (class_index != NO_CLASS).sum().clamp_min(1)


def _is_told(sentence: LabelledSentence, known: Sequence[str] | set[str]) -> bool:
    """Whether a sentence is about a degradation that pictures can suffer from."""
    return sentence.class_name != OUTSIDE and sentence.topic in known


def _load_encoder(name_or_path: str) -> SentenceEncoder:
    """A sentence encoder from a folder or the Hub."""
    return SentenceEncoder.from_pretrained(name_or_path)

"""The texts of each picture of a call, as users of the XL track give them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ldrestore.errors import InputError
from ldrestore.estimators.given_degradations import read_degradations
from ldrestore.options import XLRestoreOptions
from ldrestore.pipelines.sampled_records import named_degradations
from ldrestore.prompts.task_prompts import TASK_PROMPTS, task_prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenTexts:
    """The texts of one picture, and what its record tells of them."""

    caption: str
    """What the picture shows; empty where it is not said."""
    task: str
    """What is to be done; empty where it is not said."""
    recorded: Mapping[str, Any]
    """Values of the options of which they come, for the picture alone."""


def read_texts(options: XLRestoreOptions, *, num_pictures: int) -> list[GivenTexts]:
    """Caption and task of each picture.

    Args:
        options: Of the call.
        num_pictures: How many there are.

    Raises:
        UnknownNameError: a degradation has no task prompt; the closest ones are named.
        InputError: a list of another length than the pictures, no text, or both an instruction and degradations.
    """
    listed = [
        _one_each(options.instruction, name="instruction", num_pictures=num_pictures),
        _one_each(options.prompt, name="prompt", num_pictures=num_pictures),
        read_degradations(options.degradations, names=tuple(TASK_PROMPTS), num_pictures=num_pictures),
    ]
    texts = []
    for instruction, caption, given in zip(*listed, strict=True):
        named = named_degradations(given)
        if instruction is not None and named is not None:
            raise InputError(
                "instruction and degradations both say what is to be done; give one of them, --instruction or "
                "--degradation"
            )
        task = instruction if named is None else task_prompt(named)
        recorded = {"instruction": instruction, "prompt": caption, "degradations": named}
        texts.append(GivenTexts(caption=caption or "", task=task or "", recorded=recorded))
    return texts


def _one_each(given: Any, *, name: str, num_pictures: int) -> list[str | None]:
    """One text or None for each picture.

    Raises:
        InputError: another number, or something that is no text.
    """
    listed = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given] * num_pictures
    if len(listed) != num_pictures:
        raise InputError(f"expected one {name} or None for each of the {num_pictures} pictures, got {len(listed)}")
    wrong = [one for one in listed if one is not None and not isinstance(one, str)]
    if wrong:
        raise InputError(f"{name} must be a text, or a list with one or None for each picture, got {wrong[0]!r}")
    return listed

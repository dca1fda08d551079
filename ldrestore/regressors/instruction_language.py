"""Whether an instruction may be English, told by its words alone, before any model reads it.

A sentence encoder for English gives other languages vectors too, and a head that never saw them is sure of some class.
"""

import re
from functools import lru_cache

from ldrestore.assets.sentences import OUTSIDE, TRAINING_FILE, read_sentences

FOREIGN_WORDS = frozenset(
    word
    for line in (
        "der die das den dem des ein eine einen einem ist sind nicht und oder aber bitte mach mache zu zum zur auf aus",
        "mit für von ich du es er sie wir hat habe kannst könntest mehr sehr viel viele alles bild weg heller",
        "le la les un une du de est sont et ou mais pas plus trop très il elle je tu ce cette cet mon ma sa son au aux",
        "dans sur avec pour peux s'il l'image d'image c'est",
        "el las los una unos del y o pero muy más mucho mucha hay está esta este que por favor para con mi su se lo",
        "gli uno della dello dalla dal di è e troppo questa questo per non",
        "os as um uma do da dos das em na muito muita mais isso",
        "het een van niet en te dit deze maak uit veel",
    )
    for word in line.split()
)
"""Small words of German, French, Spanish, Italian, Portuguese and Dutch."""

MIN_KNOWN_SHARE = 0.5
"""Share of known words from which a sentence passes for English, whatever small words are among them."""

MIN_WORDS = 3
"""A sentence of this many words, none of them known, is no English."""

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


def is_foreign(text: str) -> bool:
    """Whether a sentence looks like another language: few of its words are known, and some small one is another's.

    Of the embedded held-out sentences it refuses none in English and four fifths of the others.

    Args:
        text: A sentence or two.
    """
    words = _words(text)
    num_known = sum(word in known_words() for word in words)
    if num_known == 0:
        return len(words) >= MIN_WORDS or any(word in FOREIGN_WORDS for word in words)
    is_mostly_unknown = num_known < MIN_KNOWN_SHARE * len(words)
    return is_mostly_unknown and any(word in FOREIGN_WORDS - known_words() for word in words)


@lru_cache(maxsize=1)
def known_words() -> frozenset[str]:
    """The words of the embedded English instructions for training, in lower case."""
    sentences = (sentence for sentence in read_sentences(TRAINING_FILE) if sentence.class_name != OUTSIDE)
    return frozenset(word for sentence in sentences for word in _words(sentence.text))


def _words(text: str) -> list[str]:
    """The words of a text in lower case."""
    return [word.lower() for word in _WORD.findall(text)]

"""How instructions lie before and after a head: numbers, a page and one figure."""

from ldrestore.assets.sentences import OUTSIDE
from ldrestore.explanations.drawing import QUIET, WIDTH, blank_figure, scatter_classes, style_of
from ldrestore.explanations.explainer import Finding
from ldrestore.explanations.page_parts import code, image_of, rounded, rounded_all, table_of
from ldrestore.explanations.saved_explanation import SENTENCES
from ldrestore.explanations.sections import Section, finding_of
from ldrestore.explanations.sentence_map import SentenceMap


def finding_of_sentences(found: SentenceMap) -> Finding:
    """What there is to write of a sentence map, see `map_sentences`.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    rows = zip(found.sentences, found.predicted, found.before, found.after, strict=True)
    document = {
        "encoder": found.encoder,
        "classes": list(found.classes),
        "accuracy": rounded(found.accuracy),
        "silhouette": {"before": rounded(found.silhouette_before), "after": rounded(found.silhouette_after)},
        "sentences": [
            {
                "text": sentence.text,
                "class": sentence.class_name,
                "predicted": predicted,
                "before": rounded_all(before),
                "after": rounded_all(after),
            }
            for sentence, predicted, before, after in rows
        ],
    }
    return finding_of(
        f"How {len(found.sentences)} instructions lie before and after the head",
        _paragraphs(found),
        [Section(figures={SENTENCES: _draw(found)})],
        kind="instructions",
        document=document,
    )


def _paragraphs(found: SentenceMap) -> list[str]:
    """The page below its title."""
    missed = [
        (sentence.text, sentence.class_name, predicted)
        for sentence, predicted in zip(found.sentences, found.predicted, strict=True)
        if sentence.class_name in found.classes and predicted != sentence.class_name
    ]
    apart = (("before", found.silhouette_before), ("after", found.silhouette_after))
    paragraphs = [
        f"Encoder {code(found.encoder)}. The sentences are held out: the library's own head was not trained on them. "
        "t-SNE keeps neighbours and not distances; the numbers below are taken before it.",
        image_of(SENTENCES, "t-SNE of the instructions"),
        table_of(
            ("", "silhouette of the classes"),
            [(name, "none" if value is None else f"{value:.3f}") for name, value in apart],
        ),
    ]
    if found.accuracy is not None:
        share = f"{found.accuracy:.1%}"
        paragraphs.append(f"The head takes {share} of the sentences that ask for something for their class.")
    if missed:
        paragraphs.append(table_of(("taken for another class", "is", "taken for"), missed))
    return paragraphs


def _draw(found: SentenceMap) -> bytes:
    """The points before and after the head, as PNG."""
    names = [sentence.class_name for sentence in found.sentences]
    known = [name for name in found.classes if name in names]
    others = [name for name in dict.fromkeys(names) if name not in (*known, OUTSIDE)]
    classes = [*known, *others, *([OUTSIDE] if OUTSIDE in names else [])]
    styles = {name: (name.replace("_", " "), *style_of(index)) for index, name in enumerate(classes)}
    if OUTSIDE in names:
        styles[OUTSIDE] = ("outside: nothing that is known", QUIET, ".")
    panels = (
        ("before the head: vectors of the encoder", found.before, found.silhouette_before),
        ("after the head: its embeddings", found.after, found.silhouette_after),
    )
    with blank_figure(WIDTH, 5.6) as (figure, png):
        axes = figure.subplots(1, 2)
        for panel, (title, points, silhouette) in zip(axes, panels, strict=True):
            tail = "" if silhouette is None else f"\nsilhouette of the classes {silhouette:.2f}"
            panel.set_title(f"{title}{tail}")
            scatter_classes(panel, points, names, styles)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return png.getvalue()

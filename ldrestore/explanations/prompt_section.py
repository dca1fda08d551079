"""How prompts and texts tell degradations apart: numbers, and the figures of the maps."""

from collections.abc import Mapping
from typing import Any

from ldrestore.explanations.drawing import WIDTH, blank_figure, scatter_classes, style_of
from ldrestore.explanations.page_parts import image_of, rounded, rounded_all, table_of
from ldrestore.explanations.point_map import PointMap
from ldrestore.explanations.prompt_maps import TEXTS, WORDS, PromptMaps
from ldrestore.explanations.sections import Section

MAP_COLUMNS = 4

_TEXT_TITLES = {
    WORDS: "textual prompts: $E_{txt}(T)$, word by word",
    TEXTS: r"texts of the pictures: $E_{txt}(\{e_{cm}, T\})$",
}
_TEXT_MEANINGS = {
    WORDS: "what the text encoder puts out at each word of T, which no picture changes",
    TEXTS: "what it puts out after the words that the CM-Adapter and T say of each picture for each degradation",
}


def section_of_prompts(prompts: PromptMaps) -> Section:
    """The maps, their silhouettes, and why some are not there.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figures = {}
    paragraphs = [
        "t-SNE keeps neighbours and not distances; the silhouettes are taken before it, by cosine, from -1 to 1. The "
        "further they lie above 0, the better are the degradations told apart.",
        *prompts.absent,
    ]
    if prompts.visual:
        figures["visual_prompts.png"] = _draw(prompts.visual, title="t-SNE of the visual prompts")
        shows = f"t-SNE of the visual prompts by degradation: {', '.join(prompts.visual)}"
        paragraphs += [
            "Visual prompts, each a point; V1 is the finest scale:",
            _table_of_silhouettes(prompts.visual),
            image_of("visual_prompts.png", shows),
        ]
    if prompts.text:
        maps = {_TEXT_TITLES[name]: found for name, found in prompts.text.items()}
        figures["text_embeddings.png"] = _draw(maps, title="t-SNE of what the text encoder puts out")
        meanings = "; ".join(f"{name}: {_TEXT_MEANINGS[name]}" for name in prompts.text)
        paragraphs += [
            f"Texts. {meanings[0].upper()}{meanings[1:]}.",
            _table_of_silhouettes(prompts.text),
            image_of("text_embeddings.png", f"t-SNE of the texts by degradation: {', '.join(prompts.text)}"),
        ]
    return Section(
        document={"prompts": _document_of(prompts)}, heading="Prompts", paragraphs=paragraphs, figures=figures
    )


def _draw(maps: Mapping[str, PointMap], *, title: str) -> bytes:
    """Points of each map in a panel of its own, one legend for all."""
    columns = min(len(maps), MAP_COLUMNS)
    num_rows = -(-len(maps) // columns)
    classes = next(iter(maps.values())).classes
    styles = {name: (name.replace("_", " "), *style_of(index)) for index, name in enumerate(classes)}
    legend_height = 0.5 + 0.22 * -(-len(classes) // MAP_COLUMNS)
    width = WIDTH * (0.6 if columns == 1 else 1)
    with blank_figure(width, legend_height + num_rows * (min(4.4, width / columns) + 0.4)) as (figure, png):
        panels = list(figure.subplots(num_rows, columns, squeeze=False).flat)
        for panel in panels[len(maps) :]:
            panel.axis("off")
        for panel, (name, found) in zip(panels, maps.items(), strict=False):
            tail = "" if found.silhouette is None else f"\nsilhouette {found.silhouette:.2f}"
            panel.set_title(f"{name}{tail}")
            scatter_classes(panel, found.points, found.labels, styles)
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=MAP_COLUMNS, frameon=False)
        figure.suptitle(title, fontsize=10)
    return png.getvalue()


def _table_of_silhouettes(maps: Mapping[str, PointMap]) -> str:
    """Number of points and silhouette of each map."""
    rows = [
        (name, str(len(found.points)), "none" if found.silhouette is None else f"{found.silhouette:.3f}")
        for name, found in maps.items()
    ]
    return table_of(("", "points", "silhouette of the degradations"), rows)


def _document_of(prompts: PromptMaps) -> dict[str, Any]:
    """Points, classes and silhouettes of all maps."""
    documents = {
        kind: [
            {
                "name": name,
                "silhouette": rounded(found.silhouette),
                "points": [
                    {"degradation": label, "at": rounded_all(point)}
                    for label, point in zip(found.labels, found.points, strict=True)
                ],
            }
            for name, found in maps.items()
        ]
        for kind, maps in (("visual", prompts.visual), ("text", prompts.text))
    }
    return {**documents, "absent": list(prompts.absent)}

"""What there is to say of a picture on its way through SDXL: where DAFF looks, and which experts decode it."""

from ldrestore.explanations.drawing import draw_panels, draw_table, drawn
from ldrestore.explanations.page_parts import image_of, rounded, rounded_all, table_of
from ldrestore.explanations.sections import Section
from ldrestore.explanations.xl_explanation import XLExplanation


def section_of_alignment(explanation: XLExplanation) -> Section:
    """How much the latents attend to the damaged picture, and where, at an early, a middle and a late step.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    found = explanation.alignments
    if not found:
        what = "The model has no DAFF, whose attention to the damaged picture could be shown."
        return Section(document={"alignment": []}, heading="Alignment", paragraphs=[what])
    numbers = [
        {
            "timestep": rounded(one.timestep),
            "share": rounded(one.share.mean()),
            "at_place": rounded(one.at_place),
        }
        for one in found
    ]
    rows = [(f"{one.timestep:g}", f"{one.share.mean():.2f}", f"{one.at_place:.2f}") for one in found]
    maps = {f"t = {one.timestep:g}: share of\nthe damaged picture": one.share for one in found}
    maps |= {f"t = {one.timestep:g}: where the\nmiddle looks": one.middle / one.middle.max() for one in found}
    picture = {"input": drawn(explanation.sampled.pictures.picture.pixels, is_picture=True)}
    figure = draw_panels(picture, maps, columns=len(found) + 1, label="attention", least_top=1e-6)
    return Section(
        document={"alignment": numbers},
        heading="Alignment",
        paragraphs=[
            "Each token of the noisy latents attends to the damaged picture's tokens and to those of the latents; the "
            "mean of all heads and blocks of DAFF. The share goes to the damaged picture; of what the token at the "
            "middle takes of it, some lies within one token of its own place.",
            table_of(("timestep", "share of the damaged picture", "at its own place"), rows),
            image_of("alignment.png", "attention of the latents to the damaged picture at several steps"),
        ],
        figures={"alignment.png": figure},
    )


def section_of_experts(explanation: XLExplanation) -> Section:
    """Which experts decode the picture, at each level; for patches also where.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    found = explanation.experts
    if not found:
        what = "The decoder has no experts."
        return Section(document={"experts": []}, heading="Experts of the decoder", paragraphs=[what])
    numbers = [
        {
            "name": name,
            "probabilities": rounded_all(one.probabilities),
            "shares": rounded_all(one.shares),
        }
        for name, one in found.items()
    ]
    title = "probability of each expert, the most probable one framed"
    rows = {name: one.probabilities for name, one in found.items()}
    paragraphs = [
        "At each level of the decoder, 0 being the full resolution, a router gives the picture or each patch of it to "
        "its most probable expert. Expert 0, 1 and 2 look 1, 2 and 3 positions far, expert 3 three with gaps.",
        image_of("expert_choice.png", "probabilities of the experts at each level"),
    ]
    figures = {"expert_choice.png": draw_table(rows, title=title, unit="expert", is_framed=True)}
    maps = {name: one.first for name, one in found.items() if one.first is not None}
    if maps:
        picture = {"input": drawn(explanation.sampled.pictures.picture.pixels, is_picture=True)}
        figures["expert_map.png"] = draw_panels(picture, maps, columns=3, label="expert", least_top=3)
        paragraphs.append(image_of("expert_map.png", "the expert of each patch, at each level"))
    return Section(
        document={"experts": numbers}, heading="Experts of the decoder", paragraphs=paragraphs, figures=figures
    )

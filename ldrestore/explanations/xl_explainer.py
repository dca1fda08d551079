"""Explains the models of the XL track."""

from ldrestore.errors import InputError
from ldrestore.explanations.drawing import check_drawing
from ldrestore.explanations.explainer import Finding
from ldrestore.explanations.page_parts import code
from ldrestore.explanations.sampling_section import finding_of_sampled, section_of_sampling
from ldrestore.explanations.xl_explanation import XLExplanation, explain_xl
from ldrestore.explanations.xl_sections import section_of_alignment, section_of_experts
from ldrestore.images.photo import Photo
from ldrestore.options import XLRestoreOptions
from ldrestore.pipelines.pipeline_xl_restore import XLRestorePipeline

ONE_PICTURE = "models upon SDXL tell of one picture, which they restore, and estimate nothing of many; name one picture"


class XLExplainer:
    """What a model upon SDXL does with a picture."""

    def __init__(self, pipeline: XLRestorePipeline, options: XLRestoreOptions) -> None:
        """Begin with no picture.

        Args:
            pipeline: The model.
            options: Those of the call; texts, guidance, steps and seed count.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        check_drawing()
        self.pipeline, self.options = pipeline, options

    def explain(self, photo: Photo, *, gt: Photo | None, name: str) -> Finding:
        """One picture: restored, and looked at on the way.

        Raises:
            InputError: an option out of range, or an unknown degradation.
            ShapeError: the ground truth has another size.
        """
        return finding_of_xl(explain_xl(self.pipeline, photo, self.options, gt=gt), name=name)

    def check_folder(self) -> None:
        """Refuse a folder.

        Raises:
            InputError: always; nothing is told of many pictures.
        """
        raise InputError(ONE_PICTURE)

    def look_at(self, photo: Photo, *, name: str) -> None:
        """Nothing is told of many pictures.

        Raises:
            InputError: always.
        """
        raise InputError(ONE_PICTURE)

    def report(self) -> Finding:
        """Nothing is told of many pictures.

        Raises:
            InputError: always.
        """
        raise InputError(ONE_PICTURE)


def finding_of_xl(explanation: XLExplanation, *, name: str) -> Finding:
    """What there is to write of one picture.

    Args:
        explanation: See `explain_xl`.
        name: What to call the picture.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    options = explanation.sampled.record["options"]
    texts = [f"{key}: {code(str(options[key]))}" for key in ("instruction", "degradations", "prompt") if options[key]]
    words = f"It was told of {'; '.join(texts)}." if texts else "It was told nothing in words."
    return finding_of_sampled(
        explanation.sampled,
        [
            section_of_sampling(explanation.sampled),
            section_of_alignment(explanation),
            section_of_experts(explanation),
        ],
        name=name,
        kind="xl picture",
        lead=[f"{words} The scale of guidance is {options['guidance_scale']:g}."],
    )

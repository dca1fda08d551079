"""Explains the models of the stable track."""

from ldrestore.explanations.estimate_section import section_of_estimate, section_of_estimates
from ldrestore.explanations.explainer import Finding, check_not_given
from ldrestore.explanations.prompt_maps import PictureView, check_prompt_maps, view_picture
from ldrestore.explanations.prompt_section import section_of_prompts
from ldrestore.explanations.sampling_section import finding_of_sampled, section_of_sampling, title_of
from ldrestore.explanations.sections import finding_of
from ldrestore.explanations.stable_explanation import StableExplanation, StableReport, explain_stable, report_stable
from ldrestore.images.photo import Photo
from ldrestore.options import StableRestoreOptions
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline

OF_SAMPLING = ("degradations", "num_inference_steps", "seed")
"""Options that say nothing where nothing is sampled."""


class StableExplainer:
    """What a sampled model does with a picture, and sees in many."""

    def __init__(self, pipeline: StableRestorePipeline, options: StableRestoreOptions) -> None:
        """Begin with no picture.

        Args:
            pipeline: The model.
            options: Those of the call; degradations, steps and seed count.

        Raises:
            MissingExtraError: the package that lays out points is not installed.
        """
        check_prompt_maps()
        self.pipeline, self.options = pipeline, options
        self._views: dict[str, PictureView] = {}

    def explain(self, photo: Photo, *, gt: Photo | None, name: str) -> Finding:
        """One picture: restored, and looked at on the way.

        Raises:
            InputError: an option out of range, or an unknown degradation.
            ShapeError: the ground truth has another size.
        """
        return finding_of_stable(explain_stable(self.pipeline, photo, self.options, gt=gt), name=name)

    def check_folder(self) -> None:
        """Refuse options of the sampling: nothing is sampled.

        Raises:
            InputError: one is given.
        """
        check_not_given(self.options, OF_SAMPLING)

    def look_at(self, photo: Photo, *, name: str) -> None:
        """Keep what the model sees in a picture and says of it."""
        self._views[name] = view_picture(self.pipeline, photo)

    def report(self) -> Finding:
        """What was seen in all pictures."""
        return finding_of_stable_report(report_stable(self.pipeline, self._views))


def finding_of_stable(explanation: StableExplanation, *, name: str) -> Finding:
    """What there is to write of one picture.

    Args:
        explanation: See `explain_stable`.
        name: What to call the picture.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    source = "given with the call" if explanation.is_given else "predicted from the picture"
    what = f"The probabilities P, {source}; they weigh all prompts."
    return finding_of_sampled(
        explanation.sampled,
        [
            section_of_estimate(explanation.sampled.estimate, what, is_given=explanation.is_given),
            section_of_sampling(explanation.sampled),
            section_of_prompts(explanation.prompts),
        ],
        name=name,
        kind="stable picture",
        document={"is_given": explanation.is_given},
    )


def finding_of_stable_report(report: StableReport) -> Finding:
    """What there is to write of many pictures.

    Args:
        report: Of at least one.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return finding_of(
        f"What {title_of(report.model)} sees in {len(report.pictures)} pictures",
        ["Nothing was restored. All numbers are in [explanation.json](explanation.json)."],
        [
            section_of_estimates(report.names, report.probabilities, report.pictures),
            section_of_prompts(report.prompts),
        ],
        kind="stable folder",
        document={"model": dict(report.model)},
    )

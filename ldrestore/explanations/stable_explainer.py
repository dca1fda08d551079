"""Explains the models of the stable track."""

from ldrestore.explanations.explainer import Finding, check_not_given
from ldrestore.explanations.prompt_maps import PictureView, check_prompt_maps, view_picture
from ldrestore.explanations.stable_explanation import explain_stable, report_stable
from ldrestore.explanations.stable_figures import figures_of_stable, figures_of_stable_report
from ldrestore.explanations.stable_pages import (
    document_of_stable,
    document_of_stable_report,
    page_of_stable,
    page_of_stable_report,
)
from ldrestore.images.photo import Photo
from ldrestore.options import StableRestoreOptions
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline

FLAGS = {"degradations": "--degradation", "num_inference_steps": "--steps", "seed": "--seed"}
"""Options of the sampling and what the command line calls them."""


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
        found = explain_stable(
            self.pipeline,
            photo,
            gt=gt,
            degradations=self.options.degradations,
            num_inference_steps=self.options.num_inference_steps,
            seed=self.options.seed,
        )
        return Finding(
            document=document_of_stable(found, name=name),
            page=page_of_stable(found, name=name),
            figures=figures_of_stable(found),
        )

    def check_folder(self) -> None:
        """Refuse options of the sampling: nothing is sampled.

        Raises:
            InputError: one is given.
        """
        check_not_given(self.options, FLAGS)

    def look_at(self, photo: Photo, *, name: str) -> None:
        """Keep what the model sees in a picture and says of it."""
        self._views[name] = view_picture(self.pipeline, photo)

    def report(self) -> Finding:
        """What was seen in all pictures."""
        report = report_stable(self.pipeline, self._views)
        return Finding(
            document=document_of_stable_report(report),
            page=page_of_stable_report(report),
            figures=figures_of_stable_report(report),
        )

"""Explains the models of the fast track."""

from typing import Any

from ldrestore.explanations.explainer import Finding
from ldrestore.explanations.explanation import (
    Usage,
    check_usage,
    describe_model,
    explain,
    explained_network,
    seen_part,
    usage_of,
)
from ldrestore.explanations.figures import figures_of_explanation, figures_of_report
from ldrestore.explanations.pages import (
    document_of_explanation,
    document_of_report,
    page_of_explanation,
    page_of_report,
)
from ldrestore.explanations.usage_report import report_usage
from ldrestore.images.photo import Photo
from ldrestore.options import FastRestoreOptions
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline


class FastExplainer:
    """What a network does with a picture, and which of its parts it uses over many."""

    def __init__(self, pipeline: FastRestorePipeline, options: FastRestoreOptions) -> None:
        """Begin with no picture.

        Args:
            pipeline: The model.
            options: Those of the call; an instruction and an embedding count.
        """
        self.pipeline, self.options = pipeline, options
        self._understood = None if options.instruction is None else pipeline.understand(options.instruction)
        self._usages: dict[str, Usage] = {}
        self._num_cut = 0

    def explain(self, photo: Photo, *, gt: Photo | None, name: str) -> Finding:
        """One picture: restored, and looked at on the way.

        Raises:
            InputError: an instruction or an embedding that the model does not take.
            ShapeError: the ground truth has another size.
        """
        found = explain(
            self.pipeline,
            photo,
            gt=gt,
            instruction=self.options.instruction,
            embedding=self._embedding_of(photo),
        )
        return Finding(
            document=document_of_explanation(found, name=name),
            page=page_of_explanation(found, name=name),
            figures=figures_of_explanation(found),
        )

    def check_folder(self) -> None:
        """Refuse a network that has nothing to tell of many pictures.

        Raises:
            InputError: it has neither prompts nor experts.
        """
        check_usage(explained_network(self.pipeline))

    def look_at(self, photo: Photo, *, name: str) -> None:
        """Keep which prompts or experts a picture uses."""
        embedding = self._embedding_of(photo)
        self._usages[name] = usage_of(self.pipeline, photo, instruction=self._understood, embedding=embedding)
        self._num_cut += not seen_part(photo).is_whole

    def report(self) -> Finding:
        """What is used over all pictures."""
        report = report_usage(describe_model(explained_network(self.pipeline)), self._usages, num_cut=self._num_cut)
        return Finding(
            document=document_of_report(report), page=page_of_report(report), figures=figures_of_report(report)
        )

    def _embedding_of(self, photo: Photo) -> Any:
        """What a guide said of the picture; None where nothing is given."""
        source = self.options.embedding
        return source(photo) if callable(source) else source

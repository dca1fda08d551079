"""What a model does with pictures: prompts, experts, maps, routing, sampling and instructions, in numbers and figures."""

from ldrestore.explanations.explanation import Explanation, explain, usage_of
from ldrestore.explanations.figures import figures_of_explanation, figures_of_report, figures_of_sentences
from ldrestore.explanations.prompt_maps import PictureView, PromptMaps, map_prompts, view_picture
from ldrestore.explanations.sentence_map import SentenceMap, map_sentences
from ldrestore.explanations.stable_explanation import StableExplanation, StableReport, explain_stable, report_stable
from ldrestore.explanations.stable_figures import figures_of_stable, figures_of_stable_report
from ldrestore.explanations.usage_report import UsageReport, report_usage

__all__ = [
    "Explanation",
    "PictureView",
    "PromptMaps",
    "SentenceMap",
    "StableExplanation",
    "StableReport",
    "UsageReport",
    "explain",
    "explain_stable",
    "figures_of_explanation",
    "figures_of_report",
    "figures_of_sentences",
    "figures_of_stable",
    "figures_of_stable_report",
    "map_prompts",
    "map_sentences",
    "report_stable",
    "report_usage",
    "usage_of",
    "view_picture",
]

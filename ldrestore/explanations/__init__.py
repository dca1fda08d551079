"""What a model does with pictures: prompts, experts, maps, routing and instructions, as numbers and figures."""

from ldrestore.explanations.explanation import Explanation, explain, usage_of
from ldrestore.explanations.figures import figures_of_explanation, figures_of_report, figures_of_sentences
from ldrestore.explanations.sentence_map import SentenceMap, map_sentences
from ldrestore.explanations.usage_report import UsageReport, report_usage

__all__ = [
    "Explanation",
    "SentenceMap",
    "UsageReport",
    "explain",
    "figures_of_explanation",
    "figures_of_report",
    "figures_of_sentences",
    "map_sentences",
    "report_usage",
    "usage_of",
]

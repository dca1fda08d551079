"""What a model does with pictures: prompts, experts, maps, routing and instructions, as numbers and figures.

What is about models of the stable track is imported from `stable_explanation` and its neighbours: it brings Stable
Diffusion's networks along, for which those who use the fast track should not wait.
"""

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

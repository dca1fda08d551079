"""What a model does with pictures: prompts, experts, maps, routing and instructions, as numbers and figures.

A track's explainer (see `tracks.py`) puts together sections, each of which is written and drawn once for all tracks.
What is about models of the stable track is imported from `stable_explanation` and its neighbours: it brings Stable
Diffusion's networks along, for which those who use the fast track should not wait.
"""

from ldrestore.explanations.fast_explainer import finding_of_explanation, finding_of_report
from ldrestore.explanations.fast_explanation import Explanation, explain, usage_of
from ldrestore.explanations.sections import Section, finding_of
from ldrestore.explanations.sentence_map import SentenceMap, map_sentences
from ldrestore.explanations.sentence_page import finding_of_sentences
from ldrestore.explanations.usage_report import UsageReport, report_usage

__all__ = [
    "Explanation",
    "Section",
    "SentenceMap",
    "UsageReport",
    "explain",
    "finding_of",
    "finding_of_explanation",
    "finding_of_report",
    "finding_of_sentences",
    "map_sentences",
    "report_usage",
    "usage_of",
]

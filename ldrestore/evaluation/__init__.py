"""One harness for all models: benchmarks, the three steps restore, score and report, statistics and cost."""

from ldrestore.evaluation.benchmarking import BenchOptions, evaluate, rescore
from ldrestore.evaluation.results import Results, read_results

__all__ = ["BenchOptions", "Results", "evaluate", "read_results", "rescore"]

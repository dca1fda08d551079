"""One harness for all models: benchmarks, the three steps restore, score and report, statistics and cost."""

"""The field's sets of pictures. Nothing is downloaded: `ldrestore bench --list --data-root DIR` says what is there."""

from ldrestore.evaluation.benchmark_record import BENCHMARKS
from ldrestore.evaluation.mixed_damage_sets import CDD11_SETS, OTHER_SETS
from ldrestore.evaluation.single_damage_sets import BLUR_AND_LIGHT_SETS, NOISE_SETS, WEATHER_SETS

__all__ = ["BENCHMARKS"]

for _record in (*NOISE_SETS, *WEATHER_SETS, *BLUR_AND_LIGHT_SETS, *CDD11_SETS, *OTHER_SETS):
    BENCHMARKS.register(_record)

"""docs/fast_track.md says of each architecture what its record says, and its commands name what there is."""

import re
from pathlib import Path

import pytest

from ldrestore.regressors.catalog import REGRESSORS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/fast_track.md").read_text(encoding="utf-8")
PUBLISHED = [
    name
    for name in REGRESSORS.names()
    if name not in ("nafnet", "squeezed_nafnet", "prompted_nafnet", "grid_nafnet", "datprl_ir_text")
]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_table_is_that_of_the_records(name):
    record = REGRESSORS.get(name)
    start = f"| `{name}` | {record.parameters / 1e6:.3f} M | {record.macs / 1e9:.1f} G |"
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
    assert row.startswith(start) and row.endswith(f"| {record.licence} |")
    assert "the same" in row or record.source.split("https://")[1].split(";")[0] in row


def test_commands_and_configs_name_what_there_is():
    converted = re.findall(r"`ldrestore convert (\S+) (\S+) \S+", PAGE)
    assert {name for name, _ in converted} <= set(REGRESSORS.names())
    assert all(file.endswith((".pth", ".pt", ".ckpt")) for _, file in converted)
    configs = re.findall(r"`(configs/[^`]+)`", PAGE)
    assert len(configs) > 20 and all((ROOT / config).is_file() for config in configs)

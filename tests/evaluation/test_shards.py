import subprocess
import sys

import pytest

from ldrestore.evaluation.shards import Shard, current_shard

THREADS_AT_THE_END = """
import atexit, os
names = lambda: {open(f"/proc/self/task/{task}/comm").read().strip() for task in os.listdir("/proc/self/task")}
atexit.register(lambda: print(sorted(name for name in names() if "gloo" in name)))
from ldrestore.evaluation.shards import current_shard
shard = current_shard(device="cpu")
shard.wait()
assert any("gloo" in name for name in names())
"""


def test_one_process_takes_everything(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    shard = current_shard(device="cpu")
    assert shard == Shard()
    assert shard.is_first
    assert list(shard.of("abcde")) == list("abcde")
    shard.wait()


def test_shares_are_disjoint_and_whole():
    shares = [list(Shard(index=index, count=3).of(range(10))) for index in range(3)]
    assert shares == [[0, 3, 6, 9], [1, 4, 7], [2, 5, 8]]


@pytest.mark.e2e
@pytest.mark.skipif(sys.platform != "linux", reason="threads have their names in /proc")
def test_no_thread_between_the_processes_is_left_when_python_ends(tmp_path):
    """One that still runs then may abort the process (pytorch issue 190489)."""
    script = tmp_path / "script.py"
    script.write_text(THREADS_AT_THE_END)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert "".join(outcome.stdout.split()) == "[][]"

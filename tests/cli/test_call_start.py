import subprocess
import sys
import time

from ldrestore.cli.call_start import call_start, whole_process


def test_a_call_inside_another_program_has_no_start():
    assert call_start() is None


def test_the_start_of_a_process_lies_before_what_it_imports():
    code = (
        "import time; time.sleep(0.3); from ldrestore.cli.call_start import call_start, whole_process\n"
        "with whole_process(): print(call_start())"
    )
    before = time.time()
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    after = time.time()
    assert before - 0.05 <= float(printed) <= after
    if sys.platform == "linux":
        assert float(printed) <= after - 0.3


def test_the_start_is_forgotten_afterwards():
    with whole_process():
        assert call_start() <= time.time()
    assert call_start() is None

"""`ldrestore app` in a process of its own, as a user starts it."""

import os
import re
import subprocess
import sys
import threading
from contextlib import contextmanager

REFUSED_BY_GRADIO = "gradio.exceptions.InvalidPathError"
"""Paths outside its folders gradio refuses itself, and logs that with a traceback."""
_ERROR = re.compile(r"[A-Za-z_][\w.]*(Error|Exception)\b")


@contextmanager
def running_page(parent, *words, environment=None):
    """The page's address, until the end of the block; its folder is made in `parent`."""
    variables = {**os.environ, "TMPDIR": str(parent), "PYTHONUNBUFFERED": "1", **(environment or {})}
    command = [sys.executable, "-m", "ldrestore", "app", "--port", "0", "--device", "cpu", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=variables)
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "listens at " in line:
                break
        else:
            raise AssertionError(f"the page did not start: {''.join(lines)}")
        reader = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)
        reader.start()
        yield lines[-1].partition("listens at ")[2].strip().rstrip("/")
        process.terminate()
        assert process.wait(timeout=60) == 0, "".join(lines)
        reader.join(timeout=10)
        faults = [line for line in lines if _ERROR.match(line) and not line.startswith(REFUSED_BY_GRADIO)]
        assert not faults, "".join(lines)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()

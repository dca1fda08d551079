"""The peak memory of one sampled pipeline beyond its weights, in a process of its own, as JSON.

It is called as `python -m .. STUDY KIND ..`.

"restorer" is our pipeline without its refinement, "refined" the same with it, "img2img" that of diffusers on the same
base without classifier-free guidance, a text of 77 tokens given as embeddings. None cuts the picture into tiles.

On the CPU: largest resident memory during the call, above the resident memory before it, which holds libraries and
weights; after a small picture, which pays for what is set up once. Linux only. With CUDA: model off-loading is on, and
the peak is what torch has allocated, less the weights that are on the GPU at that time.
"""

import argparse
import ctypes
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from ldrestore.evaluation.cost import peak_memory, status_bytes
from ldrestore.evaluation.studies.cost_subjects import SUBJECTS, text_embeddings

MEMORY_KINDS = ("restorer", "refined", "img2img")
"""What can be measured."""
MEMORY_STEPS = 2
"""All steps need the same memory."""
WARM_UP_SIDE = 64
"""Of the small picture, in pixels."""


def caller_of(kind: str, pipeline: Any) -> Callable[[np.ndarray], Any]:
    """What is measured, as a function of a picture (H, W, 3) uint8.

    Args:
        kind: One of `MEMORY_KINDS`.
        pipeline: The one it needs.
    """
    if kind != "img2img":
        options = {"num_inference_steps": MEMORY_STEPS, "tile": "off", "output_type": "photo"}
        return partial(pipeline, refine=kind == "refined", **options)

    def redraw(picture: np.ndarray) -> Any:
        image = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255  # (1, 3, H, W)
        texts = text_embeddings(pipeline.unet, pipeline._execution_device)
        options = {"num_inference_steps": MEMORY_STEPS, "strength": 1.0, "guidance_scale": 1.0, "output_type": "np"}
        return pipeline(image=image, **texts, **options)

    return redraw


def picture_of(side: int) -> np.ndarray:
    """A square of noise, (side, side, 3) uint8."""
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)


def growth_on_cpu(call: Callable[[np.ndarray], Any], *, side: int) -> dict[str, float]:
    """Peak resident memory above the memory before, and the latter, in 10^9 bytes.

    Raises:
        OSError: the system does not tell.
    """
    call(picture_of(WARM_UP_SIDE))
    picture = picture_of(side)
    ctypes.CDLL(None).malloc_trim(0)
    before = status_bytes("VmRSS")
    with peak_memory("cpu") as growth:
        call(picture)
    if before is None or growth[0] is None:
        raise OSError("this system does not tell the resident memory of a process; measure on Linux")
    return {"beyond_weights": round(growth[0], 4), "idle": round(before / 1e9, 3)}


def growth_on_gpu(call: Callable[[np.ndarray], Any], pipeline: Any, *, side: int) -> dict[str, float]:
    """Peak allocation with model off-loading, and its largest excess over the weights on the GPU, in 10^9 bytes."""
    pipeline.enable_model_cpu_offload()
    call(picture_of(WARM_UP_SIDE))
    parts = [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
    device = pipeline._execution_device
    meter = WeightsAside(
        parts, peak=partial(torch.cuda.max_memory_allocated, device), reset=partial(_reset_peak, device)
    )
    call(picture_of(side))
    meter.read()
    return {"beyond_weights": round(meter.beyond / 1e9, 4), "peak": round(meter.most / 1e9, 3)}


class WeightsAside:
    """The peak of a device's memory beyond the weights that are there, while parts come and go.

    Between two moves of a part the weights on the device are the same; each such stretch has its own peak.
    """

    def __init__(self, parts: Sequence[nn.Module], *, peak: Callable[[], int], reset: Callable[[], None]) -> None:
        """Begin, and follow the parts for good.

        Args:
            parts: Whose `to` is called for each move.
            peak: Largest allocation in bytes since the last reset.
            reset: Forgets it.
        """
        self.parts, self.peak, self.reset = parts, peak, reset
        self.beyond = self.most = 0
        for part in parts:
            part.__dict__["to"] = partial(self._move, part.to)  # each move is to be seen
        reset()

    def read(self) -> None:
        """Take the peak of the stretch that ends here."""
        most = self.peak()
        self.most = max(self.most, most)
        self.beyond = max(self.beyond, most - self._present())

    def _move(self, to: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """One part goes to another place: a stretch ends, another begins."""
        self.read()
        moved = to(*arguments, **options)
        self.reset()
        return moved

    def _present(self) -> int:
        """Bytes of the weights on the device."""
        tensors = (tensor for part in self.parts for tensor in (*part.parameters(), *part.buffers()))
        return sum(tensor.nbytes for tensor in tensors if tensor.device.type != "cpu")


def measure_in_process(
    study: str, kind: str, *, model: str | None, side: int, device: str, dtype: str
) -> dict[str, float]:
    """One kind in a fresh process, whose memory nothing else has touched.

    Raises:
        CalledProcessError: the process failed; it has said why.
    """
    words = [study, kind, "--side", str(side), "--device", device, "--dtype", dtype]
    words += [] if model is None else ["--model", model]
    command = [sys.executable, "-m", __name__, *words]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return found


def _reset_peak(device: torch.device) -> None:
    """After what is under way."""
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)


def main() -> None:
    """Parse the command line, build, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=list(SUBJECTS))
    parser.add_argument("kind", choices=MEMORY_KINDS)
    parser.add_argument("--model")
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    arguments = parser.parse_args()
    subject = SUBJECTS[arguments.study]
    pipeline = subject.open(arguments.model, dtype=getattr(torch, arguments.dtype))
    if arguments.kind == "img2img":
        pipeline = subject.img2img(pipeline)
    call = caller_of(arguments.kind, pipeline)
    is_gpu = torch.device(arguments.device).type == "cuda"
    row = growth_on_gpu(call, pipeline, side=arguments.side) if is_gpu else growth_on_cpu(call, side=arguments.side)
    sys.stdout.write(json.dumps(row))


if __name__ == "__main__":
    main()

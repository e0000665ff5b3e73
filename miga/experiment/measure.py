"""What one video costs: model calls, seconds per frame and peak memory. Frames are decoded and thrown away.

Peaks of one process add up, so each measurement belongs into a process of its own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from miga.engine.base_model import BaseModel, Text
from miga.engine.method import Method, MethodConfig
from miga.engine.noise import KeyedNoise
from miga.engine.trace import Trace


class PeakMemory:
    """Peak memory in MB since it was made: of the GPU on CUDA, else of this process (resident)."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            with suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")  # Linux: start the high-water mark again

    def read(self) -> float:
        if self.device.type == "cuda":
            return round(torch.cuda.max_memory_allocated(self.device) / 2**20, 1)
        try:
            status = Path("/proc/self/status").read_text()
            return round(int(status.split("VmHWM:")[1].split()[0]) / 2**10, 1)
        except (OSError, IndexError):
            import resource

            return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10, 1)


@torch.inference_mode()
def measure(
    model: BaseModel, method: Method, config: MethodConfig, texts: Sequence[Text], frames: int
) -> dict[str, Any]:
    """One video of so many frames. Memory is the peak above what there was when the model stood ready, in MB.

    What does not fit into memory has no numbers and says why.
    """
    found = dict(frames=frames, latents=model.latent_frames(frames), calls=None, seconds=None, memory=None, reason=None)
    method.check(model, texts, found["latents"])
    decoder, calls, shown = model.decoder(), model.calls, 0
    memory = PeakMemory(model.device)
    before, start = memory.read(), time.perf_counter()
    try:
        for latents in method.generate(model, texts, found["latents"], config, KeyedNoise(0), Trace()):
            shown += len(decoder.push(latents))
    except (MemoryError, torch.OutOfMemoryError) as error:
        return found | dict(reason=" ".join(str(error).split()))
    seconds = (time.perf_counter() - start) / min(shown, frames)
    return found | dict(calls=model.calls - calls, seconds=seconds, memory=memory.read() - before)

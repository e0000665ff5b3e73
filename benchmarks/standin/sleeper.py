"""A base model that sleeps as long as the plan says that its passes take, and notes down when, and on which GPU.

For `benchmarks/cluster.py`, which installs it: everything but the network is as in a run, leases, shards and files too.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

from miga.experiment.plan import Blank, Counting
from miga.models.registry import get

PACE = 0.12  # seconds of a pass over a window, as the suite `paper` assumes of VideoCrafter2
SIZE = 16
LIKE = get("sprites-unet")
SPEC = replace(
    LIKE,
    name="sleeper",
    label="Sleeper",
    cls="sleeper:Sleeper",
    options=LIKE.options.model_copy(update={"height": SIZE, "width": SIZE, "num_levels": 8}),
    folder=Path(__file__).with_name("weights"),
    stands_for="",
    features="",
)


class Small(Counting):
    size = (SIZE, SIZE)


class Sleeper(Blank):
    def __init__(self, directory, name, options, device, precision) -> None:
        super().__init__(SPEC, options.model_dump())

    def denoise(self, latents, levels, text, guidance_scale=None):
        before, began = self.passes[0], time.time()
        output = super().denoise(latents, levels, text, guidance_scale)
        time.sleep(PACE * (self.passes[0] - before))
        note = f"{os.environ['CUDA_VISIBLE_DEVICES']} {began} {time.time()} {self.passes[0] - before}\n"
        with open(os.environ["SLEEPER_LOG"], "a") as log:
            log.write(note)
        return output

    def decoder(self) -> Small:
        return Small(self)

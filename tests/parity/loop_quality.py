"""Replays the set loop_quality: VQeval's repetition score."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from eval import vqeval
from tests.parity.check import Check, Stored, compare

WHOLE = {"cycle_period", "longest_repeat", "autocorrelation_lag", "cycle_detected"}


def replay(case: str, folder: Path) -> Iterator[Check]:
    facts = json.loads((folder / f"{case}.json").read_text())
    arrays = Stored(load_file(folder / f"{case}.safetensors"))
    for one in facts["cases"]:
        name = one["embeddings"]
        embeddings, flow = arrays[name], arrays[one["flow"]]
        pairs = vqeval.flow_pairs(len(embeddings))
        found = vqeval.loop_quality(embeddings, np.hypot(*flow[pairs].astype(np.float64).T))
        values = found._asdict() | {"cycle_detected": found.cycle_detected, "flow_pairs": pairs}
        for quantity in (values.keys() & one.keys()) - set(one.get("undetermined", ())):
            limit = 0 if quantity in WHOLE else 1e-3 if quantity == "score" else 1e-5
            yield compare(f"{name} {quantity}", values[quantity], one[quantity], limit)
    yield from arrays.unread()

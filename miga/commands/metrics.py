"""Commands on metrics: what each of them sees, and videos with a fault to try them on."""

from __future__ import annotations

import json as jsons
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from eval.degrade import FAULTS

if TYPE_CHECKING:
    from eval.metric import Metric

SHOWN = (320, 512, 8)  # height, width and frames per second for which costs are printed


def metrics(name: Positional[str | None] = None, json: bool = False) -> int:
    """List the metrics: what they say, which faults they see or reward, what they cost.

    Which fault a metric sees is what it made of 24 rendered videos of the sprites world, through the sprites networks.
    Costs are per frame of a video of 512x320 pixels and 8 frames per second, for each of the backbones.

    Example: miga metrics repetition

    Args:
        name: Only this one, in full.
        json: As JSON.
    """
    from dataclasses import asdict, replace

    from eval.metric import METRICS, card
    from eval.sensitivity import verdicts

    cards = [card(known) for known in ([name] if name else METRICS.names())]
    found = {c.name: verdicts(c.name) for c in cards}
    if json:
        said = [asdict(replace(c, formula=None)) | {"faults": found[c.name], "cost": _cost(c)} for c in cards]
        print(jsons.dumps(said, indent=2, default=lambda part: part.__qualname__))
        return 0
    for c in cards:
        better = "" if not c.ranked else "higher is better" if c.higher_is_better else "lower is better"
        print(f"{c.name}: {c.summary}")
        print(f"  {better or 'not ranked'}; {_cost(c)}; {c.source or 'this project'}")
        for verdict, words in (("sees", "sees"), ("rewards", "rewards"), ("blind", "blind to")):
            if faults := [fault for fault, said in found[c.name].items() if said == verdict]:
                print(f"  {words}: {', '.join(faults)}")
        if not found[c.name]:
            print("  in no matrix of faults: it enters no ranking")
    return 0


def _cost(metric: Metric) -> str:
    """The networks that a metric or its parts look through, by the backbones that have them."""
    from eval.metric import METRICS
    from eval.vbench.lens import LENSES

    parts = [METRICS.get(name.partition(".")[0]).part for name in metric.parts]
    said = []
    for name in LENSES.names():
        behind = dict.fromkeys(filter(None, map(LENSES.get(name).network, parts)))
        if behind:
            said.append(f"{name}: " + ", ".join(f"{one.name} {one.gflop(*SHOWN):.3g} GFLOP" for one in behind))
    return metric.cost or "; ".join(said) or "no network"


def degrade(
    video: Positional[Path],
    fault: Annotated[str, arg(help=f"One of {', '.join(FAULTS)}.")],
    strength: float = 1.0,
    out: Path | None = None,
    other: Path | None = None,
    seed: int = 0,
    crf: int = 10,
) -> int:
    """Write a video with one fault: a control of which everybody knows what is wrong with it.

    Example: miga degrade red.mp4 --fault freeze --strength 0.5

    Args:
        video: The sound video; all its frames are held in memory.
        strength: 0 (nothing changes) to 1.
        out: The faulty video; default beside the sound one, <name>-<fault>-<strength>.mp4.
        other: The second video of faults that show one: cut, swap, duplicate.
        seed: Of noise and shuffle.
        crf: Quality of the H.264 file, 0 the best.
    """
    import numpy as np

    from eval import degrade as faults
    from eval import video as videos
    from eval.files import writable
    from eval.parsing import parse
    from miga.experiment.suite import Encoder
    from miga.experiment.video import VideoWriter

    def frames_of(path: Path) -> faults.Video:
        try:
            return np.concatenate([chunk.numpy() for chunk in videos.chunks(path)])
        except videos.VideoError as error:
            raise ValueError(f"{path}: {error}") from None

    out = out or video.with_name(f"{video.stem}-{fault}-{strength:g}.mp4")
    if out.exists():
        raise ValueError(f"{out}: is there already; say --out")
    if out.suffix.lower() != ".mp4":
        raise ValueError(f"{out}: the output must be an .mp4 file")
    if seed < 0:
        raise ValueError(f"--seed {seed}: give a number from 0")
    encoder = parse(Encoder, {"crf": crf}, "--crf")
    writable(out)
    sound = frames_of(video)
    found = faults.degrade(sound, fault, strength, seed, frames_of(other) if other else None)
    with VideoWriter(out, videos.facts(video).fps, encoder) as writer:
        writer.push(found)
    print(f"{out}: {len(found)} frames, {fault} {strength:g} ({FAULTS[fault].summary})")
    return 0

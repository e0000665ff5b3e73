"""What a reader of a table must know about each metric."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from eval.drift import ABSOLUTE, OPERATORS
from eval.registry import Registry

ROUNDING = 1e-6  # of values: the cosine of a frame with itself is 1 + 6e-8 in float32, in VBench too


@dataclass(frozen=True)
class Metric:
    """The card of a metric. `low` and `high` bound its values, `scale` is what tables multiply by to print them.

    `version` changes whenever the same video could get another value; values of different versions never meet.
    """

    name: str
    label: str
    short: str
    summary: str
    low: float
    high: float
    higher_is_better: bool
    version: str = "1"
    scale: float = 100.0
    unit: str = "%"
    digits: int = 2
    source: str = ""
    frames: int = 2  # fewest frames that it is defined for
    ranked: bool = True  # False: more is neither better nor worse
    of: tuple[str, ...] = ()  # a derived metric: the plain mean of the means of these
    cost: str = "no network"  # what a video costs beyond being decoded; operations at 320x512 pixels
    sees: tuple[str, ...] = ()  # faults (`eval/degrade.py`) that make it worse, as the matrix of rendered sprites says
    rewards: tuple[str, ...] = ()  # faults that make it better; it is blind to the others

    @property
    def parts(self) -> tuple[str, ...]:
        """The metrics of the long table that this one is made of: itself unless it is derived."""
        return self.of or (self.name,)


_VBENCH = "Huang et al., VBench: Comprehensive Benchmark Suite for Video Generative Models, CVPR 2024"

_CARDS = (
    Metric(
        "subject_consistency", "Subject consistency", "S.C.",
        "Similarity of each frame's subject features to the previous and to the first frame's, averaged over frames.",
        0, 1, True, source=_VBENCH,
    ),
    Metric(
        "background_consistency", "Background consistency", "B.C.",
        "The same average on features of the whole picture.",
        0, 1, True, source=_VBENCH,
    ),
    Metric(
        "motion_smoothness", "Motion smoothness", "M.S.",
        "How well every second frame is predicted from its neighbours by a frame interpolator.",
        0, 1, True, source=_VBENCH, frames=3,
    ),
    Metric(
        "temporal_flickering", "Temporal flickering", "T.F.",
        "One minus the mean absolute change between neighbouring frames.",
        0, 1, True, source=_VBENCH,
    ),
    Metric(
        "motion", "Motion", "Motion",
        "Displacement between neighbouring frames of the 5 % of the picture that moves most, by block matching on "
        "frames of 64 pixels on the short side, in percent of that side. It tells a frozen video from a steady one.",
        0, 0.0885, True, source="this project; the share of pixels follows VBench's dynamic degree", ranked=False,
    ),
    Metric(
        "drift", "Drift", "Drift",
        "Fall of the similarity to the video's first window, from that window itself to the last one.",
        -1, 2, False, source="this project",
    ),
    Metric(
        "repetition", "Repetition", "Rep.",
        "How far the video comes back to where it was one window ago or more, by 8x8 thumbnails: what it changes over "
        "the best such lag, against what it changes over shorter ones. 0: it does not, or stands still; 1: exactly.",
        0, 1, False, scale=1, unit="", source="this project", frames=2,
    ),
    Metric(
        "rerun", "Rerun", "Rerun",
        "The same for every window against what came before it, averaged: loops that start late are seen too.",
        0, 1, False, scale=1, unit="", source="this project", frames=2,
    ),
    Metric(
        "imaging_quality", "Imaging quality", "I.Q.",
        "How good single frames look to MUSIQ: noise, blur, exposure.",
        0, 1, True, source=_VBENCH, frames=1, cost="MUSIQ, 27 GFLOP per frame",
    ),
    Metric(
        "aesthetic_quality", "Aesthetic quality", "A.Q.",
        "How much people would like single frames, by a linear head on CLIP ViT-L/14.",
        0, 1, True, source=_VBENCH, frames=1, cost="CLIP ViT-L/14, 162 GFLOP per frame",
    ),
    Metric(
        "dynamic_degree", "Dynamic degree", "D.D.",
        "Share of videos in which the optical flow of enough pairs of frames is large.",
        0, 1, True, source=_VBENCH, frames=1, ranked=False, cost="RAFT, 389 GFLOP per pair of sampled frames",
    ),
    Metric(
        "sharpness", "Sharpness", "Sharp.",
        "Variance of the Laplacian of single frames, in grey levels squared: for its fall over time, not for its size.",
        0, 1e7, True, scale=1, unit="", digits=0, source="this project", frames=1, ranked=False,
    ),
    Metric(
        "lag_mean", "Mean over lags", "Lags",
        "Mean cosine of subject features 1, 2, 4, .. frames apart. A frozen or looped video is its best.",
        -1, 1, True, source="after VBench issue 206", ranked=False,
    ),
    Metric(
        "vqeval_loop", "VQeval's loop score", "VQeval",
        "VQeval's loop_quality on this protocol's background features, without its optical flow. It takes similarity "
        "for repetition: a static video scores 24 to 44 %. For comparison only.",
        0, 1, True, source="JiusiServe/LongVideoSparseAttention, vqeval", ranked=False,
    ),
)  # fmt: skip

METRICS: dict[str, Metric] = {card.name: card for card in _CARDS}
PLUGINS = Registry("miga.metrics", "metric")  # of other packages: name -> `eval.vbench.metrics.Measure`
VBENCH = ("subject_consistency", "background_consistency", "motion_smoothness", "temporal_flickering")
STANDARD = (*VBENCH, "motion", "drift")  # what is scored where nobody says what
OVERALL = Metric(
    "overall", "Overall", "O.S.",
    "Plain mean of the four raw VBench dimensions, as the MIGA paper forms it. Not VBench's normalised total.",
    0, 1, True, source="MIGA, Table 1", of=VBENCH,
)  # fmt: skip

_NARRLV = "Feng et al., NarrLV: Towards a Comprehensive Narrative-Centric Evaluation for Long Video Generation, 2025"

_NARRLV_CARDS = (
    Metric(
        "R_fid", "Narrative element fidelity", "R_fid",
        "Whether scene, targets, layout are there as told, and stay free of deformation.",
        0, 1, True, source=_NARRLV, frames=1,
    ),
    Metric(
        "R_cov", "Narrative unit coverage", "R_cov",
        "Share of yes to whether each narrative atom occurs.",
        0, 1, True, source=_NARRLV, frames=1,
    ),
    Metric(
        "R_coh", "Narrative unit coherence", "R_coh",
        "Share of yes to whether each atom turns into the next one, with the share of atoms that are there at all.",
        0, 1, True, source=_NARRLV, frames=1,
    ),
    Metric(
        "unparsable", "Unreadable votes", "Unread.",
        "Share of the judge's votes that are neither yes nor no.",
        0, 1, False, source="this project", frames=1,
    ),
)  # fmt: skip

NARRLV: dict[str, Metric] = {card.name: card for card in _NARRLV_CARDS}
MEAN3 = Metric(
    "mean3", "Mean of R_fid, R_cov, R_coh", "Mean",
    "Plain mean of the three. Our convention: the MIGA paper prints one number and does not say how it is formed.",
    0, 1, True, source="this project", frames=1, of=("R_fid", "R_cov", "R_coh"),
)  # fmt: skip


def card(name: str) -> Metric:
    """The card of a metric, derived ones and those of other packages included; `ValueError` lists the known ones."""
    own = {**METRICS, OVERALL.name: OVERALL, **NARRLV, MEAN3.name: MEAN3}
    if name in own:
        return own[name]
    metric, _, operator = name.rpartition(".")
    if metric and operator in OPERATORS:
        return _over_time(card(metric), operator)
    if name not in PLUGINS.points:
        raise ValueError(f"unknown metric {name!r}: known are {', '.join([*own, *PLUGINS.names()])}")
    return PLUGINS.get(name).card


def _over_time(metric: Metric, operator: str) -> Metric:
    """The card of a drift operator on a metric's series."""
    worse = 1 if operator.startswith("vde") or operator in ABSOLUTE or metric.higher_is_better else -1
    span = metric.high - metric.low
    return replace(
        metric,
        name=f"{metric.name}.{operator}",
        label=f"{metric.label}, {operator}",
        short=f"{metric.short} {operator}",
        summary=f"{OPERATORS[operator]} Of: {metric.summary}",
        low=-span if operator not in ABSOLUTE else 0,
        high=span if not operator.startswith("vde") else math.inf,
        higher_is_better=worse < 0,
        of=(),
        ranked=True,
        sees=(),
        rewards=(),
    )


def known_card(name: str) -> Metric | None:
    """The card of a metric, None for a name that is none."""
    try:
        return card(name)
    except ValueError:
        return None


def of_videos() -> tuple[str, ...]:
    """Every metric of single videos: ours and those of other packages."""
    return (*METRICS, *PLUGINS.names())

"""The metrics that this package registers: cards with their formulas. What only words change decides no score, so the
modules that compute scores do not import this one; they find metrics by name.
"""

from __future__ import annotations

from eval.metric import Metric
from eval.vbench import VBENCH, metrics
from eval.vbench.metrics import consistency, of, smoothness

_VBENCH = "Huang et al., VBench: Comprehensive Benchmark Suite for Video Generative Models, CVPR 2024"
_COMPARED = "next to nothing beyond the consistency; where VBench-Long is fused, a network on a frame of each clip"

_METRICS = (
    Metric(
        "subject_consistency", "Subject consistency", "S.C.",
        "Similarity of each frame's subject features to the previous and to the first frame's, averaged over frames.",
        0, 1, True, source=_VBENCH,
        **of("subject", consistency),
    ),
    Metric(
        "background_consistency", "Background consistency", "B.C.",
        "The same average on features of the whole picture.",
        0, 1, True, source=_VBENCH,
        **of("background", consistency),
    ),
    Metric(
        "motion_smoothness", "Motion smoothness", "M.S.",
        "How well every second frame is predicted from its neighbours by a frame interpolator.",
        0, 1, True, source=_VBENCH, frames=3,
        **of("interpolation", smoothness),
    ),
    Metric(
        "temporal_flickering", "Temporal flickering", "T.F.",
        "One minus the mean absolute change between neighbouring frames.",
        0, 1, True, source=_VBENCH,
        **of("change", smoothness),
    ),
    Metric(
        "motion", "Motion", "Motion",
        "Displacement between neighbouring frames of the 5 % of the picture that moves most, by block matching on "
        "frames of 64 pixels on the short side, in percent of that side. It tells a frozen video from a steady one.",
        0, 0.0885, True, source="this project; the share of pixels follows VBench's dynamic degree", ranked=False,
        **of("displacement", metrics.motion),
    ),
    Metric(
        "drift", "Drift", "Drift",
        "Fall of the similarity to the video's first window, from that window itself to the last one.",
        -1, 2, False, source="this project",
        part="subject", formula=metrics.falls_away,
    ),
    Metric(
        "repetition", "Repetition", "Rep.",
        "How far the video comes back to where it was one window ago or more, by 8x8 thumbnails: what it changes over "
        "the best such lag, against what it changes over shorter ones. 0: it does not, or stands still; 1: exactly.",
        0, 1, False, scale=1, unit="", source="this project", frames=2,
        part="thumbnail", formula=metrics.comes_back,
    ),
    Metric(
        "rerun", "Rerun", "Rerun",
        "The same for every window against what came before it, averaged: loops that start late are seen too.",
        0, 1, False, scale=1, unit="", source="this project", frames=2,
        part="thumbnail", formula=metrics.runs_again,
    ),
    Metric(
        "imaging_quality", "Imaging quality", "I.Q.",
        "How good single frames look to MUSIQ: noise, blur, exposure.",
        0, 1, True, source=_VBENCH, frames=1,
        **of("imaging", metrics.imaging_quality),
    ),
    Metric(
        "aesthetic_quality", "Aesthetic quality", "A.Q.",
        "How much people would like single frames, by a linear head on CLIP ViT-L/14.",
        0, 1, True, source=_VBENCH, frames=1,
        **of("aesthetic", metrics.aesthetic_quality),
    ),
    Metric(
        "dynamic_degree", "Dynamic degree", "D.D.",
        "Share of videos in which the optical flow of enough pairs of frames is large.",
        0, 1, True, source=_VBENCH, frames=1, ranked=False,
        part="flow", formula=metrics.dynamic_degree,
    ),
    Metric(
        "sharpness", "Sharpness", "Sharp.",
        "Variance of the Laplacian of single frames, in grey levels squared: for its fall over time, not for its size.",
        0, 1e7, True, scale=1, unit="", digits=0, source="this project", frames=1, ranked=False,
        **of("sharpness", metrics.sharpness),
    ),
    Metric(
        "lag_mean", "Mean over lags", "Lags",
        "Mean cosine of subject features 1, 2, 4, .. frames apart. A frozen or looped video is its best.",
        -1, 1, True, source="after VBench issue 206", ranked=False,
        part="subject", formula=metrics.alike_by_lag,
    ),
    Metric(
        "subject_consistency_clip_to_clip", "Subject, clip to clip", "S.C. c2c",
        "Subject consistency of the first frames of a video's clips, as if they were neighbours.",
        0, 1, True, source="Zheng et al., VBench-Long", ranked=False, cost=_COMPARED,
    ),
    Metric(
        "background_consistency_clip_to_clip", "Background, clip to clip", "B.C. c2c",
        "Background consistency of the first frames of a video's clips, as if they were neighbours.",
        0, 1, True, source="Zheng et al., VBench-Long", ranked=False, cost=_COMPARED,
    ),
    Metric(
        "vqeval_loop", "VQeval's loop score", "VQeval",
        "VQeval's loop_quality on this protocol's background features, without its optical flow. It takes similarity "
        "for repetition: a static video scores 24 to 44 %. For comparison only.",
        0, 1, True, source="JiusiServe/LongVideoSparseAttention, vqeval", ranked=False,
        part="background", formula=metrics.looks_looped,
    ),
)  # fmt: skip

METRICS: dict[str, Metric] = {metric.name: metric for metric in _METRICS}
(
    SUBJECT_CONSISTENCY,
    BACKGROUND_CONSISTENCY,
    MOTION_SMOOTHNESS,
    TEMPORAL_FLICKERING,
    MOTION,
    DRIFT,
    REPETITION,
    RERUN,
    IMAGING_QUALITY,
    AESTHETIC_QUALITY,
    DYNAMIC_DEGREE,
    SHARPNESS,
    LAG_MEAN,
    SUBJECT_CLIP_TO_CLIP,
    BACKGROUND_CLIP_TO_CLIP,
    VQEVAL_LOOP,
) = _METRICS
OVERALL = Metric(
    "overall", "Overall", "O.S.",
    "Plain mean of the four raw VBench dimensions, as the MIGA paper forms it. Not VBench's normalised total.",
    0, 1, True, source="MIGA, Table 1", of=VBENCH,
)  # fmt: skip

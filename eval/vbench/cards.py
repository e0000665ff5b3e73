"""The metrics that this package registers: cards with their formulas. What only words change decides no score, so the
modules that compute scores do not import this one; they find metrics by name.
"""

from __future__ import annotations

from eval.metric import Metric
from eval.vbench import VBENCH, metrics

_VBENCH = "Huang et al., VBench: Comprehensive Benchmark Suite for Video Generative Models, CVPR 2024"

_METRICS = (
    Metric(
        "subject_consistency", "Subject consistency", "S.C.",
        "Similarity of each frame's subject features to the previous and to the first frame's, averaged over frames.",
        0, 1, True, source=_VBENCH, part="subject", formula=metrics.consistency,
    ),
    Metric(
        "background_consistency", "Background consistency", "B.C.",
        "The same average on features of the whole picture.",
        0, 1, True, source=_VBENCH, part="background", formula=metrics.consistency,
    ),
    Metric(
        "motion_smoothness", "Motion smoothness", "M.S.",
        "How well every second frame is predicted from its neighbours by a frame interpolator.",
        0, 1, True, source=_VBENCH, frames=3,
        part="interpolation", formula=metrics.smoothness,
    ),
    Metric(
        "temporal_flickering", "Temporal flickering", "T.F.",
        "One minus the mean absolute change between neighbouring frames.",
        0, 1, True, source=_VBENCH, part="change", formula=metrics.smoothness,
    ),
    Metric(
        "motion", "Motion", "Motion",
        "Displacement between neighbouring frames of the 5 % of the picture that moves most, by block matching on "
        "frames of 64 pixels on the short side, in percent of that side. It tells a frozen video from a steady one.",
        0, 0.0885, True, source="this project; the share of pixels follows VBench's dynamic degree", ranked=False,
        part="displacement", formula=metrics.motion,
    ),
    Metric(
        "drift", "Drift", "Drift",
        "Fall of the similarity to the video's first window, from that window itself to the last one.",
        -1, 2, False, source="this project",
        part="subject", formula=metrics.drift,
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
) = _METRICS
OVERALL = Metric(
    "overall", "Overall", "O.S.",
    "Plain mean of the four raw VBench dimensions, as the MIGA paper forms it. Not VBench's normalised total.",
    0, 1, True, source="MIGA, Table 1", of=VBENCH,
)  # fmt: skip
MAIN = (*(METRICS[name] for name in VBENCH), OVERALL, MOTION, DRIFT)  # columns of the main table

"""What a reader of a table must know about NarrLV's scores. Their formulas are in `metric.py`."""

from __future__ import annotations

from eval.metric import Metric

_NARRLV = "Feng et al., NarrLV: Towards a Comprehensive Narrative-Centric Evaluation for Long Video Generation, 2025"
_ASKED = "a judge's answers to some ten questions"

_NARRLV_CARDS = (
    Metric(
        "R_fid", "Narrative element fidelity", "R_fid",
        "Whether scene, targets, layout are there as told, and stay free of deformation.",
        0, 1, True, source=_NARRLV, frames=1, cost=_ASKED,
    ),
    Metric(
        "R_cov", "Narrative unit coverage", "R_cov",
        "Share of yes to whether each narrative atom occurs.",
        0, 1, True, source=_NARRLV, frames=1, cost=_ASKED,
    ),
    Metric(
        "R_coh", "Narrative unit coherence", "R_coh",
        "Share of yes to whether each atom turns into the next one, with the share of atoms that are there at all.",
        0, 1, True, source=_NARRLV, frames=1, cost=_ASKED,
    ),
    Metric(
        "unparsable", "Unreadable votes", "Unread.",
        "Share of the judge's votes that are neither yes nor no.",
        0, 1, False, source="this project", frames=1, cost=_ASKED,
    ),
)  # fmt: skip

NARRLV: dict[str, Metric] = {card.name: card for card in _NARRLV_CARDS}
R_FID, R_COV, R_COH, UNREAD = _NARRLV_CARDS
MEAN3 = Metric(
    "mean3", "Mean of R_fid, R_cov, R_coh", "Mean",
    "Plain mean of the three. Our convention: the MIGA paper prints one number and does not say how it is formed.",
    0, 1, True, source="this project", frames=1, of=("R_fid", "R_cov", "R_coh"),
)  # fmt: skip

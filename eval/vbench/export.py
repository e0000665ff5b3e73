"""Our scores in VBench's own formats: results files, and the zip that its leaderboard takes.

There is no total here: VBench's script counts a dimension that is missing as zero, and this project scores a part.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eval.files import only_ours, replacing, write_json
from eval.tables import one_protocol
from eval.vbench import VBENCH
from eval.vbench.official import SCALES

RESULTS = "_eval_results.json"  # ends the names of the files in the zip
POOLED = ("subject_consistency", "background_consistency")  # averaged over all frames, the others over videos

DIMENSIONS = (
    *VBENCH, "dynamic_degree", "aesthetic_quality", "imaging_quality", "object_class", "multiple_objects",
    "human_action", "color", "spatial_relationship", "scene", "appearance_style", "temporal_style",
    "overall_consistency",
)  # fmt: skip


def eval_results(scores: pd.DataFrame) -> dict[str, list[Any]]:
    """dimension -> [aggregate, [{video_path, video_results}, ...]] of one entry on one base, as the package writes.

    The aggregates are the package's own: over all frames of all videos for the consistencies, over videos otherwise.
    Only scores of the protocol "vbench" may leave under VBench's name, and only without missing values.
    """
    one_protocol(scores)
    if scores.groupby(["base", "entry"]).ngroups != 1:
        raise ValueError("a results file of VBench is about one method: select one base and entry")
    found = {}
    for dimension, rows in scores[scores["metric"].isin(DIMENSIONS)].groupby("metric", sort=False):
        if set(rows["protocol"]) != {"vbench"}:
            raise ValueError(f"{dimension}: scores of the protocol {rows['protocol'].iloc[0]!r} are not VBench scores")
        if rows["value"].isna().any():
            lost = rows[rows["value"].isna()].iloc[0]
            raise ValueError(f"{dimension}: {lost['prompt_id']}, seed {lost['seed']} has no value: {lost['reason']}")
        aggregate = np.average(rows["value"], weights=rows["frames"] - 1 if dimension in POOLED else None)
        items = [
            {"video_path": f"{row.prompt_id}-{row.seed}.mp4", "video_results": row.value * SCALES.get(dimension, 1.0)}
            for row in rows.sort_values(["prompt_id", "seed"]).itertuples()
        ]
        found[str(dimension)] = [float(aggregate), items]
    if not found:
        raise ValueError("no scores of VBench's dimensions in this table")
    return found


def submission(scores: pd.DataFrame, path: str | Path) -> Path:
    """The zip of results files, one per dimension, that VBench's `cal_final_score.py` reads; a .json holds them all."""
    path = Path(path)
    results = eval_results(scores)
    if path.suffix == ".json":
        only_ours(path, lambda path: json.loads(path.read_text()).keys() <= {*DIMENSIONS}, "a file of VBench's results")
        write_json(path, results)
        return path
    only_ours(path, _is_submission, "a zip of VBench's results")
    with replacing(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for dimension, result in results.items():
            archive.writestr(f"{dimension}{RESULTS}", json.dumps({dimension: result}, indent=1))
    return path


def _is_submission(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return all(name.endswith(RESULTS) for name in archive.namelist())

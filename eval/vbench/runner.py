"""Runs the `vbench` package, unpatched, inside its own environment: `python runner.py job.json`.

Imports nothing of this project, which is not installed there. The job says {"videos", "output", "name", "dimensions",
"weights", "torch_home", "device"}; the package writes <output>/<name>_eval_results.json.
"""

import json
import os
import sys
from pathlib import Path


def prepare(job):
    """Say where the weights are and make torchvision importable; once in a process."""
    os.environ["VBENCH_CACHE_DIR"] = job["weights"]
    os.environ["TORCH_HOME"] = job["torch_home"]
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # AMT's file holds more than tensors
    import torch

    if torch.version.cuda is None:
        # PyPI's torchvision is built for CUDA; without CUDA it imports once these two operators are declared
        schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        for operator in ("torchvision::nms", "torchvision::qnms"):
            torch.library.define(operator, schema)


def evaluate(job):
    """Every dimension of the job on every video of its folder, as the package does it."""
    import torch
    import vbench

    # a torch.device, never a string: with the string "cuda" the package scales videos by the free memory
    scorer = vbench.VBench(
        torch.device(job["device"]), str(Path(vbench.__file__).with_name("VBench_full_info.json")), job["output"]
    )
    scorer.evaluate(
        videos_path=job["videos"], name=job["name"], dimension_list=job["dimensions"], local=True, mode="custom_input"
    )


if __name__ == "__main__":
    job = json.loads(Path(sys.argv[1]).read_text())
    prepare(job)
    evaluate(job)

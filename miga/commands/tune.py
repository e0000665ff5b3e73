"""`miga tune`: which constants of MIGA suit a base model, by measurement."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

GROUND_TRUTH = ("prompt_fidelity", "identity", "motion_fidelity", "kept")


def tune(
    model: Positional[str],
    prompts: int = 16,
    seeds: tuple[int, ...] = (101,),
    preset: str = "paper",
    sweeps: tuple[str, ...] = (),
    also: tuple[str, ...] = (),
    levels: int | None = 16,
    frames: int = 48,
    dtype: str = "bf16",
    prompts_file: Path | None = None,
    metrics: tuple[str, ...] = GROUND_TRUTH,
    backbones: str = "sprites",
    out: Path | None = None,
) -> int:
    """Measure MIGA's constants on a base model: each alone around a preset, beside FIFO-Diffusion.

    Every row makes the same videos; rows are told apart by their pairs. Runs that were stopped resume: what is measured
    stays in the folder until the code changes that made it. The table and a plot per constant are written there, and
    the best constants printed: those with the highest mean of the metrics at no more than twice the calls of
    FIFO-Diffusion. Read a difference of a few percent as noise: 16 prompts see one of about 10.

    Example: miga tune sprites-wan --prompts 4 --sweeps methods stride

    Args:
        model: A base model; 16 prompts take about a minute per row on sprites-wan, two on sprites-unet, on one core.
        prompts: How many, from the beginning of the file: more see smaller differences.
        seeds: Of every prompt.
        preset: The constants that are varied one at a time.
        sweeps: Only these of methods, l_zig, stride, guidance, unified, delta. Default: all.
        also: Further rows, each MIGA's parameters as JSON.
        levels: Of the solver (default: 16, as in the suite sprites; 0: the model's own).
        frames: Of a video.
        dtype: Of the networks.
        prompts_file: A list of {id, prompt}; default: config/prompts/sprites_tune.yaml, which stands in no table.
        metrics: What is scored; the default compares with what the prompt asks, in the sprites world only.
        backbones: Through which networks; "vbench" for real base models, with metrics of VBench.
        out: Folder of the results; default: results/tune/MODEL.
    """
    import pandas as pd

    from eval import plots, tables
    from eval.benchmark import Benchmark, Settings
    from eval.files import writable
    from eval.metric import card
    from eval.parsing import known
    from eval.vbench.lens import LENSES
    from miga import models
    from miga.experiment import tune as tuning
    from miga.experiment.experiment import home

    if prompts < 2 or not seeds or frames < 2:
        raise ValueError("give at least two --prompts (one has no interval), a seed and two --frames")
    for metric in metrics:
        card(metric)
    path = prompts_file or home() / "config" / "prompts" / "sprites_tune.yaml"
    texts = Benchmark().read_prompts(path, Settings(prompts=str(path)))[:prompts]
    if len(texts) < prompts:
        raise ValueError(f"--prompts {prompts}: {path} has {len(texts)}")
    lens, asked = LENSES.get(backbones), tuning.of_your_own(also)
    options = {} if not levels else dict(num_levels=levels)
    base = models.load(model, dtype=dtype, **options)
    known(preset, tuning.presets(), "preset")
    rows = tuning.trials(base.window, base.solver.num_levels, preset)
    names = list(dict.fromkeys(row.sweep for row in rows))
    for name in sweeps:
        known(name, names, "sweep")
    rows = [row for row in rows if not sweeps or row.sweep in sweeps or row == tuning.REFERENCE]
    rows += asked
    out = out or Path("results") / "tune" / base.name
    writable(out / "measured.jsonl")
    about = (texts, seeds, frames, metrics, lens.load(metrics), tuning.Measurements(out / "measured.jsonl"))
    scores = tuning.measure(base, rows, *about)
    if scores.empty or tuning.REFERENCE.entry not in set(scores["entry"]):
        raise ValueError(f"{model}: FIFO-Diffusion, which all rows are compared with, does not run there")
    rows.append(tuning.combined(scores, rows, metrics, preset))
    scores = pd.concat([scores, tuning.measure(base, rows[-1:], *about)]).drop_duplicates(tuning.KEY)
    said = [f"{len(texts)} prompts, {len(seeds)} seeds, {frames} frames, {base.solver.num_levels} levels, {dtype}."]
    made = []
    for name in dict.fromkeys(row.sweep for row in rows):
        own = [row for row in rows if row.sweep == name]
        table = tuning.table(name, f"{base.name}: {name}, around {preset}", scores, own, metrics, said)
        if not table.rows:
            continue
        made.append(table)
        tables.write(table, out)
        print(tables.to_markdown(table))
        if len(table.rows) > 1:
            plots.ablation(table, out / name, [*metrics, tables.CALLS.name])
    for column in (tuning.CLEANER, tuning.SPAN):
        plots.against(made, out / f"by_{column.name}", column.name, metrics)
    scored = set(scores["entry"]) - {tuning.REFERENCE.entry}
    best = tuning.best(scores, [row.entry for row in rows if row.entry in scored], metrics)
    print(f"best constants: {best.removeprefix('miga ')}")
    found = tuning.gain(scores, best, tuning.REFERENCE.entry, metrics)
    mean, low, high = (100 * value for value in (found.mean, found.low, found.high))
    print(f"mean of the metrics, against FIFO-Diffusion: {mean:+.1f} [{low:.1f}, {high:.1f}]")
    print(f"tables and plots: {out}")
    return 0

"""`miga tune`: which constants of MIGA suit a base model, by measurement."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

if TYPE_CHECKING:
    from eval.tables import Table

GROUND_TRUTH = ("prompt_fidelity", "identity", "motion_fidelity", "kept")


def tune(
    model: Positional[str],
    prompts: int = 16,
    seeds: tuple[int, ...] = (101,),
    preset: str = "paper",
    sweeps: tuple[str, ...] = (),
    also: tuple[str, ...] = (),
    plan: bool = False,
    levels: int = 16,
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

    With --plan no network is run: the calls of each row, and what its windows see, follow from its schedule. Cleaner
    context: of the frames that a window reads, the share that is cleaner than the frame that it steps. Noise span: how
    much of the noise range 0..1 a window spans.

    Example: miga tune sprites-wan --prompts 4 --sweeps methods stride

    Args:
        model: A base model; 16 prompts take about a minute per row on sprites-wan, two on sprites-unet, on one core.
        prompts: How many, from the beginning of the file: more see smaller differences.
        seeds: Of every prompt.
        preset: The constants that are varied one at a time.
        sweeps: Only these of methods, l_zig, stride, guidance, unified, delta, also (for --also alone). Default: all.
        also: Further rows, each MIGA's parameters as JSON.
        plan: Only say what each row costs and what its windows see; needs no weights.
        levels: Of the solver (default: 16, as in the suite sprites; 0: the model's own).
        frames: Of a video.
        dtype: Of the networks.
        prompts_file: A list of {id, prompt}; default: config/prompts/sprites_tune.yaml, which stands in no table.
        metrics: What is scored; the default compares with what the prompt asks, in the sprites world only.
        backbones: Through which networks; "vbench" for real base models, with metrics of VBench.
        out: Folder of the results; default: results/tune/MODEL, results/tune/MODEL-plan.
    """
    import pandas as pd

    from eval import plots, tables
    from eval.benchmark import Benchmark, Settings
    from eval.files import writable
    from eval.metric import card
    from eval.parsing import known
    from eval.vbench.lens import LENSES
    from miga import models
    from miga.commands import tuning
    from miga.experiment.experiment import home
    from miga.experiment.plan import Blank
    from miga.models import registry

    if prompts < 2 or not seeds or frames < 2:
        raise ValueError("give at least two --prompts (one has no interval), a seed and two --frames")
    for metric in metrics:
        card(metric)
    known(preset, tuning.presets(), "preset")
    path = prompts_file or home() / "config" / "prompts" / "sprites_tune.yaml"
    texts = Benchmark().read_prompts(path, Settings(prompts=str(path)))[:prompts]
    if len(texts) < prompts:
        raise ValueError(f"--prompts {prompts}: {path} has {len(texts)}")
    lens, asked = LENSES.get(backbones), tuning.of_your_own(also)
    options = dict(num_levels=levels) if levels else {}
    base = Blank(registry.get(model), options) if plan else models.load(model, dtype=dtype, **options)
    rows = tuning.trials(base.window, base.solver.num_levels, preset) + asked
    for name in sweeps:
        known(name, list(dict.fromkeys(row.sweep for row in rows)), "sweep")
    rows = [row for row in rows if not sweeps or row.sweep in {*sweeps, "also"} or row == tuning.REFERENCE]
    out = out or Path("results") / "tune" / (f"{base.name}-plan" if plan else base.name)
    writable(out / "measured.jsonl")
    size = f"{frames} frames, {base.solver.num_levels} levels"
    if plan:
        written(
            tuning.tables(tuning.planned(base, rows, frames), rows, (), preset, f"{size}; no network was run."), out
        )
        return 0
    about = (texts, seeds, frames, metrics, lens.load(metrics), tuning.Measurements(out / "measured.jsonl"))
    scores = tuning.measure(base, rows, *about)
    if scores.empty or tuning.REFERENCE.entry not in set(scores["entry"]):
        raise ValueError(f"{model}: FIFO-Diffusion, which all rows are compared with, does not run there")
    rows.append(tuning.combined(scores, rows, metrics, preset))
    scores = pd.concat([scores, tuning.measure(base, rows[-1:], *about)]).drop_duplicates(tuning.KEY)
    note = f"{len(texts)} prompts, {len(seeds)} seeds, {size}, {dtype}."
    made = written(tuning.tables(scores, rows, metrics, preset, note), out)
    for table in made:
        if len(table.rows) > 1:
            plots.ablation(table, out / table.name, [*metrics, tables.CALLS.name])
    for table in tuning.differences(scores, rows, metrics, preset):
        tables.write(table, out)
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


def written(made: list[Table], out: Path) -> list[Table]:
    """Write tables and print them."""
    from eval import tables

    for table in made:
        tables.write(table, out)
        print(tables.to_markdown(table))
    return made

"""`miga suites`: what each suite asks, costs and needs."""

from __future__ import annotations

from tyro.conf import Positional


def suites(name: Positional[str | None] = None) -> None:
    """List the suites of this folder: what each asks, what it costs, and what of it is not here yet.

    Hours depend on the machine: `miga plan NAME` counts them.

    Example: miga suites sprites

    Args:
        name: Only this one, by name or path.
    """
    from miga.experiment.experiment import home

    names = [name] if name else sorted(path.stem for path in (home() / "config" / "suites").glob("*.yaml"))
    print("\n\n".join(map(described, names)))


def described(name: str) -> str:
    """A suite in a few lines; `ValueError` as `load_experiment` has it."""
    from miga.experiment.doctor import BAD, benchmarks, of_suite
    from miga.experiment.experiment import home, load_experiment
    from miga.experiment.needed import needed_by
    from miga.models.fetch import inventory

    experiment = load_experiment(name, home())
    suite, made = experiment.suite, experiment.rows_of_all()
    videos = dict.fromkeys(suite.bases, 0)
    for entry in (entry for entry in made if entry in experiment.made()):
        for base in experiment.bases_of(entry):
            videos[base] += len(experiment.videos_of(entry))
    frames = sum(count * (suite.bases[base].frames or suite.frames) for base, count in videos.items())
    asked = [f"{len(prompts)} prompts of {benchmark}" for benchmark, prompts in experiment.prompts.items()]
    lacking = [f"{what}: {words}" for state, what, words in (*of_suite(name), *benchmarks(name)) if state == BAD]
    return "\n".join(
        [
            f"{name}: {suite.title}. {suite.note}".rstrip(),
            f"  asks   {len(made)} entries on {', '.join(suite.bases)}; {', '.join(asked)}; seeds "
            f"{', '.join(map(str, suite.seeds))}",
            f"  costs  {sum(videos.values()):,} videos, {frames:,} frames; "
            f"{sum(item.gigabytes for item in inventory(needed_by(name))):.2f} GB of weights; hours: miga plan {name}",
            *(f"  needs  {line}" for line in lacking or ["nothing that is not here"]),
        ]
    )

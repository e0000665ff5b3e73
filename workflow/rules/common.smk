"""The experiment, and what the rules ask about it. Functions only: no rule lives here."""

import os
import re
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from eval import parsing
from miga.experiment.experiment import choose_suite, cuda, load_experiment
from miga.experiment.suite import Config
from eval.registry import Registry
from miga.experiment.digest import code_digest

ROOT = Path(workflow.basedir)


def load():
    """Config and experiment, checked before the DAG is built; the first problem is one sentence."""
    try:
        settings = parsing.parse(Config, config, "config")
        name, line = choose_suite(settings.suite)
        experiment = load_experiment(name, ROOT, settings.limit)
        if workflow.is_main_process:
            from miga.experiment.run import check

            check(experiment)
    except ValueError as error:
        raise WorkflowError(str(error)) from None
    if workflow.is_main_process:
        print(line, file=sys.stderr)
        # for the manifest; the environment is no reason to run a rule again
        command = [Path(sys.argv[0]).name, *sys.argv[1:]]
        os.environ.update(MIGA_COMMAND=shlex.join(command))
    return settings, experiment


def either(names):
    """A constraint that takes these names only; without names nothing matches and the rules vanish."""
    return "|".join(map(re.escape, sorted(names))) or "(?!)"


METHODS = Registry("miga.methods", "method")
CONFIG, EXPERIMENT = load()
ROWS = EXPERIMENT.rows()
EVERY_ROW = EXPERIMENT.rows_of_all()
SUITE = EXPERIMENT.suite
GPU = 1 if cuda() else 0
ABLATIONS = {ablation.table: ablation for ablation in EXPERIMENT.ablations.values()}
PAPER = ["config/paper_results.yaml"] if EXPERIMENT.name.startswith("paper") else []
TEXTS, PICTURES = ("csv", "md", "tex", "json"), ("svg", "png")
TABLES = ["vbench", "cost"] + ["differences"] * (SUITE.reference in EXPERIMENT.entries)
TABLES += ["contrast"] * bool(SUITE.contrast)
PLOTS = [
    "comparison",
    "drift",
    "consistency_motion",
    "cost_quality",
    "levels",
    "reflection",
    "foresight",
]
PLOTS_OF_LENGTH = ["lengths"] * bool(EXPERIMENT.lengths())
OUT = f"{CONFIG.results}/{EXPERIMENT.name}"


def model_of(base):
    """What decides how a base model is loaded."""
    return SUITE.bases[base].model_dump(include={"model", "params"})


def metrics_of(entry, protocol):
    return EXPERIMENT.metrics_of(entry, protocol)


def prompts_of(entry, protocol):
    """Prompt id -> text of an entry's videos of one protocol."""
    found = EXPERIMENT.prompts_of(entry, protocol)
    return {id: prompt.prompt for id, prompt in found.items()}


def shards_of(entry):
    """The videos of an entry in the groups that one job makes."""
    size, videos = CONFIG.shard or SUITE.shard, EXPERIMENT.videos_of(entry)
    return [videos[start : start + size] for start in range(0, len(videos), size)]


def manifests_of(*entries, bases=None):
    """Manifests of the shards of entries, on all their base models or on these only."""
    return [
        f"{OUT}/{base}/{entry}/shard-{shard}.json"
        for entry in entries
        for base in bases or EXPERIMENT.bases_of(entry)
        for shard in range(len(shards_of(entry)))
    ]


def scores_of(*entries):
    return [
        f"{OUT}/{base}/{entry}/scores.parquet"
        for entry in entries
        for base in EXPERIMENT.bases_of(entry)
    ]


def narrlv_of(*entries):
    """NarrLV scores of those entries that have such prompts."""
    return [
        f"{OUT}/{base}/{entry}/narrlv.parquet"
        for entry in entries
        if prompts_of(entry, "narrlv")
        for base in EXPERIMENT.bases_of(entry)
    ]


def boards():
    """Leaderboards that the suite has scores for."""
    return ["vbench"] + ["narrlv"] * bool(narrlv_of(*EXPERIMENT.entries))


def generation_digest(wildcards):
    """Digest of all code that decides the frames of an entry's videos."""
    return code_digest("miga.experiment.run", "miga.models", METHODS.module(ROWS[wildcards.entry].method))


def weights_of(wildcards):
    """Weights in a folder that the suite names, or that the repository ships; others are checked by their digest in
    the sidecars."""
    model = SUITE.bases[wildcards.base].model
    folder = model if Path(model).is_dir() else f"miga/sprites/weights/{model}"
    return sorted(map(str, Path(folder).rglob("*.safetensors")))


def scoring_digest():
    return code_digest(
        "eval.vbench.score",
        "eval.scores",
        *{
            "sprites": ("miga.sprites.reader", "miga.sprites.interpolator"),
            "vbench": ("eval.vbench.backbones",),
        }[SUITE.backbones],
    )


def written(*names, folder, kinds):
    return [f"{OUT}/{folder}/{name}.{kind}" for name in names for kind in kinds]


def ablation_files(*ablations):
    """Tables and plots of ablations."""
    tables = [EXPERIMENT.ablations[name].table for name in ablations]
    return written(*tables, folder="tables", kinds=TEXTS) + written(
        *tables, folder="plots", kinds=PICTURES
    )


def everything():
    return [
        *written(*TABLES, folder="tables", kinds=TEXTS),
        *written(*PLOTS, *PLOTS_OF_LENGTH, folder="plots", kinds=PICTURES),
        *ablation_files(*SUITE.ablations),
        *(
            written("narrlv", folder="tables", kinds=TEXTS)
            if "narrlv" in boards()
            else []
        ),
        *written(*boards(), folder="leaderboard", kinds=["csv"]),
        f"{OUT}/report/index.html",
        f"{OUT}/wandb/published.json",
    ]


def finished():
    """Every table, plot and leaderboard of the suite."""
    return [
        path
        for path in everything()
        if Path(path).parent.name in ("tables", "plots", "leaderboard")
    ]

"""The experiment, and what the rules ask about it. Functions only: no rule lives here."""

import json
import os
import re
import shlex
import sys
from functools import cache
from itertools import chain
from pathlib import Path

from snakemake.exceptions import WorkflowError

from eval import parsing
from eval.benchmark import BENCHMARKS
from eval.metric import METRICS
from eval.registry import Registry
from miga.experiment.digest import (
    ROOT as CODE,
    code_digest,
    frames_digest,
    remember,
    scores_digest,
    script_digest,
    texts_digest,
)
from miga.experiment.checked import check_once
from miga.experiment.experiment import choose_suite, cuda, load_experiment
from miga.experiment.lease import gpus
from miga.experiment.passes import UNKNOWN, Passes
from miga.experiment.suite import Config

ROOT = Path(workflow.basedir)  # the suites' files; CODE has the packages


def load():
    """Config and experiment, checked before the DAG is built; the first problem is one sentence."""
    try:
        settings = parsing.parse(Config, config, "config")
        name, line = choose_suite(settings.suite)
        experiment = load_experiment(name, ROOT, settings.limit)
        remember(Path(settings.results, experiment.name, "code.json"))
        if workflow.is_main_process:
            for sentence in check_once(experiment):
                print(sentence, file=sys.stderr)
    except ValueError as error:
        raise WorkflowError(as_typed(str(error))) from None
    if workflow.is_main_process:
        print(line, file=sys.stderr)
        # for the manifest; the environment is no reason to run a rule again
        command = [Path(sys.argv[0]).name, *sys.argv[1:]]
        os.environ.update(MIGA_COMMAND=shlex.join(command))
    return settings, experiment


def as_typed(sentence):
    """What was typed for the keys of a sentence goes with it: YAML may have read that as something else."""
    words = [word.partition("=") for word in sys.argv]
    typed = [
        f"{key}={said}" for key, mark, said in words if mark and f" {key}:" in sentence
    ]
    return "; typed was ".join([sentence, *([" ".join(typed)] if typed else [])])


def either(names):
    """A constraint that takes these names only; without names nothing matches and the rules vanish."""
    return "|".join(map(re.escape, sorted(names))) or "(?!)"


METHODS = Registry("miga.methods", "method")
CONFIG, EXPERIMENT = load()


container: CONFIG.image


ROWS = EXPERIMENT.rows()
MADE = EXPERIMENT.made()
EVERY_ROW = EXPERIMENT.rows_of_all()
SUITE = EXPERIMENT.suite
CUDA = cuda()
ABLATIONS = {ablation.table: ablation for ablation in EXPERIMENT.ablations.values()}
PAPER = [os.path.relpath(ROOT / SUITE.paper)] if SUITE.paper else []
TEXTS, PICTURES = ("csv", "md", "tex", "json"), ("svg", "png")
TABLES = SUITE.tables()
BOARDS = [BENCHMARKS.get(name).table for name in SUITE.benchmarks]
PLOTS = SUITE.figures()
PLOTS_OF_LENGTH = ["lengths"] * bool(EXPERIMENT.lengths())
OUT = f"{CONFIG.results}/{EXPERIMENT.name}"
MEASURED = [
    f"{OUT}/{base}/{entry}/length-{frames}.json"
    for base, entry, frames in EXPERIMENT.lengths()
]
ENCODED = EXPERIMENT.encoded()
# Of any job, of those that come first, and of later ones.
IMPORTED = ("snakemake.script", "miga.experiment.run"), ("eval.report", "eval.tables")
PASSES = Passes(EXPERIMENT, Path(OUT, "passes.json"))
LONGEST_ARRAY = 25  # jobs, whose commands fit into one argument: 2.4 KB each in a small suite, of 128


def unreadable():
    """Files of earlier runs that nobody can read: named, and made again where this run needs them."""
    from miga.experiment import derived

    try:
        found = dict(derived.unreadable(Path(OUT), SUITE.benchmarks))
    except ValueError as error:
        raise WorkflowError(str(error)) from None
    for line in derived.lines(found):
        print(line, file=sys.stderr)
    return list(map(str, found))


UNREADABLE = unreadable() if workflow.is_main_process else []


def again(wildcards):
    """No input. Snakemake goes by dates: it is told to make what cannot be read as soon as it has a DAG to plan."""
    workflow.dag.forcefiles.update(UNREADABLE)
    return []


def one_gpu(wildcards):
    """A GPU of this machine, where it has one, or of the node that jobs are sent to."""
    return int(CUDA or workflow.non_local_exec)


def alone(wildcards):
    """Every core of this machine, so that no other job runs beside; on a cluster the profile asks for a whole node."""
    return workflow.cores if workflow.local_exec else 1


def frames_on(base):
    """Video frames of each video."""
    return SUITE.bases[base].frames or SUITE.frames


def model_of(base):
    """What decides how a base model is loaded."""
    return SUITE.bases[base].model_dump(include={"model", "params"})


@cache
def prompts_of(entry, benchmark):
    """Prompts of an entry's videos of a benchmark, as plain data by id."""
    found = EXPERIMENT.prompts_of(entry, benchmark)
    return {id: prompt.model_dump() for id, prompt in found.items()}


def scored(wildcards):
    """Those of a shard, which may have videos of other benchmarks too."""
    found = prompts_of(wildcards.entry, wildcards.benchmark)
    return {id: found[id] for id, _, _ in videos_of(wildcards) if id in found}


def named(*entries):
    """What tables call entries by: the label that they are given and their method, whose card has another."""
    return {
        entry: (
            MADE[entry].model_dump(include={"label", "method"})
            if entry in MADE
            else {"label": ROWS[entry].titled(entry)}
        )
        for entry in entries
    }


def cards_of(*entries):
    """Modules with the cards of the methods of entries."""
    return {METHODS.module(MADE[entry].method) for entry in entries if entry in MADE}


@cache
def shards_of(base, entry, prompts=None):
    """Name -> videos of an entry on a base model that one job makes; of the first so many prompts of each benchmark."""
    size = CONFIG.shard
    if size is None and entry in MADE:
        size = PASSES.videos_of_a_job(base, entry, CONFIG.shard_hours)
    return EXPERIMENT.shards_of(entry, size, base, prompts)


def videos_of(wildcards):
    """The videos of a shard."""
    return shards_of(wildcards.base, wildcards.entry)[wildcards.shard]


def texts_of(wildcards):
    """Files with the encoded prompts of a shard."""
    ids = {id for id, _, _ in videos_of(wildcards)}
    return [
        f"{OUT}/{wildcards.base}/text-{part}.safetensors"
        for part, prompts in ENCODED.items()
        if ids & {prompt.id for prompt in prompts}
    ]


def then_of(wildcards):
    """Prompt id -> what its video shows next, of the stories of a shard."""
    ids = {id for id, _, _ in videos_of(wildcards)}
    prompts = [p for chosen in EXPERIMENT.prompts.values() for p in chosen]
    return {p.id: p.then for p in prompts if p.id in ids and p.then}


def files_of(wildcards):
    """The given videos of a shard, in its order."""
    files = EXPERIMENT.given[wildcards.entry].files
    return [str(files[id, seed]) for id, _, seed in videos_of(wildcards)]


def arrays():
    """Rules whose jobs are sent to Slurm as arrays, as its plug-in reads them."""
    said = getattr(workflow.executor_settings, "array_jobs", None) or ""
    return {rule.strip() for rule in re.split("[,;]", said)} - {""}


def in_arrays(rule):
    """Whether its jobs must ask for the same: all of an array are sent with what its first one asks for."""
    return not arrays().isdisjoint({rule, "all"})


def minutes_of(wildcards, attempt):
    """How long a generation job may take; one that was ended for its time gets more, and resumes. On this machine
    nobody ends a job for its time, and its passes need not be counted for that."""
    if workflow.local_exec:
        return UNKNOWN
    if in_arrays("generate"):
        return attempt * max(minutes_on(base, row) for base, row in generated())
    videos = len(videos_of(wildcards))
    return attempt * PASSES.minutes(wildcards.base, wildcards.entry, videos)


def dearest_first(wildcards):
    """From 0 to 1, the more the longer a generation job takes, so that in the end nothing waits for one of these."""
    base, entry, shard = (wildcards[name] for name in ("base", "entry", "shard"))
    passes = PASSES.known(base, entry) * len(shards_of(base, entry)[shard])
    return passes / (passes + 10_000)


@cache
def minutes_on(base, entry):
    """Those of the longest job of an entry on a base model."""
    videos = max(map(len, shards_of(base, entry).values()), default=0)
    return PASSES.minutes(base, entry, videos)


def generated():
    """(base, entry) of all that methods make in this suite, and in this run on request."""
    jobs = [job for job in workflow.dag.jobs if job.rule.name == "generate"]
    rows = {*EVERY_ROW, *(job.wildcards.entry for job in jobs)} & MADE.keys()
    return [(base, row) for row in rows for base in EXPERIMENT.bases_of(row)]


def memory_of(rule):
    """MB of main memory that a rule's job needs: the base model's weights pass through it on their way to a GPU."""

    def needed(wildcards, attempt):
        bases = SUITE.bases if in_arrays(rule) else [wildcards.base]
        return attempt * int(1500 + 1500 * max(spec_of(b).gigabytes for b in bases))

    return needed


def room_for_arrays():
    """Whether arrays end. The plug-in forgets jobs that it is given while more of their rule wait for room, and waits for
    them for ever; and in an array whose commands together are too long for a line of a shell, each fails.
    """
    if not arrays():
        return
    jobs = len(list(workflow.dag.needrun_jobs()))
    if undecided():  # whose later rounds are not in the DAG yet
        jobs += len(manifests_of(*EVERY_ROW)) + len(scores_of(*EVERY_ROW))
        jobs += len(SUITE.bases) * len(ENCODED)
    rate = workflow.scheduling_settings.max_jobs_per_timespan
    room = min(workflow.nodes, rate.max_jobs if rate else sys.maxsize)
    limited = set(workflow.global_resources) - {"_cores", "_nodes"}
    longest = min(jobs, workflow.executor_settings.array_limit)
    if room < jobs or limited or longest > LONGEST_ARRAY:
        raise WorkflowError(
            f"job arrays need room for all {jobs} jobs of this run at once, or it never ends: --jobs {jobs} "
            f"--max-jobs-per-timespan {jobs}/1s --slurm-array-limit {LONGEST_ARRAY}, and no --resources"
        )


def enough():
    """How many prompts of each benchmark this run asks for, by what is settled so far."""
    *rounds, most = EXPERIMENT.rounds()
    for prompts in rounds:
        if said_in(checkpoints.settled.get(prompts=prompts).output.settled):
            return prompts
    return most


def settled_after():
    """The same outside of the DAG, which may have no round in it: by the files that are there."""
    *rounds, most = EXPERIMENT.rounds()
    for prompts in rounds:
        said = Path(OUT, "rounds", str(prompts), "settled.json")
        if said.is_file() and str(said) not in UNREADABLE and said_in(said):
            return prompts
    return most


def said_in(settled):
    return json.loads(Path(settled).read_text())["settled"]


def manifests_of(*entries, bases=None, prompts=None):
    """Manifests of the shards of entries, on all their base models or on these only."""
    return [
        f"{OUT}/{base}/{entry}/shard-{shard}.json"
        for entry in entries
        for base in bases or EXPERIMENT.bases_of(entry)
        for shard in shards_of(base, entry, prompts)
    ]


def scores_of(*entries, benchmarks=tuple(SUITE.benchmarks), prompts=None):
    """Scores of entries, shard by shard, by all the benchmarks that they take part in, or by these only."""
    return [
        f"{OUT}/{base}/{entry}/{benchmark}/{shard}.parquet"
        for entry in entries
        for benchmark in EXPERIMENT.benchmarks_of(entry)
        if benchmark in benchmarks
        for base in EXPERIMENT.bases_of(entry)
        for shard, videos in shards_of(base, entry, prompts).items()
        if not prompts_of(entry, benchmark).keys().isdisjoint(id for id, _, _ in videos)
    ]


def on_request(ask, *arguments):
    """An input that is looked for where its rule is asked for only."""
    return lambda wildcards: ask(*arguments)


def generation_digest(wildcards):
    """Digest of all code that decides the frames of an entry's videos."""
    return frames_digest_of(wildcards.base, ROWS[wildcards.entry].method)


@cache  # every job of a run asks
def frames_digest_of(base, method):
    return frames_digest(METHODS.module(method), *modules_of(base))


@cache
def spec_of(base):
    """The kind of base model that a base is."""
    from miga.models import folders, registry

    model = SUITE.bases[base].model
    return folders.spec_of(Path(model)) if Path(model).is_dir() else registry.get(model)


def modules_of(base):
    """Modules of a base model's class and of the features that methods judge frames by."""
    spec = spec_of(base)
    return [name.split(":")[0] for name in (spec.cls, spec.features) if name]


def weights_of(wildcards):
    """Weights in a folder that the suite names, or that a package brings; others are checked by their digest in the
    sidecars."""
    return weights_on(wildcards.base)


@cache
def weights_on(base):
    from miga.models import registry

    model = SUITE.bases[base].model
    folder = model if Path(model).is_dir() else registry.get(model).folder
    return (
        sorted(map(os.path.relpath, Path(folder).rglob("*.safetensors")))
        if folder
        else []
    )


def of_benchmark(ask):
    """A function of wildcards that asks the benchmark which they name about its settings, once."""
    answer = cache(lambda name: ask(BENCHMARKS.get(name), SUITE.benchmarks[name]))
    return lambda wildcards: answer(wildcards.benchmark)


def shown_digest(script, *benchmarks):
    """Digest of all code that decides what a script shows of scores: cards of metrics and tables of benchmarks too."""
    boards = [BENCHMARKS.get(name).board(SUITE.benchmarks[name]) for name in benchmarks]
    metrics = {metric.name.split(".")[0] for board in boards for metric in board}
    return code_digest(
        f"workflow/scripts/{script}.py",
        *map(BENCHMARKS.module, benchmarks),
        *map(METRICS.module, sorted(metrics & set(METRICS.names()))),
    )


def gpu_of_benchmark(wildcards):
    """A GPU where the benchmark's networks or its judge run on one."""
    names = SUITE.benchmarks if in_arrays("score") else [wildcards.benchmark]
    wanted = any(BENCHMARKS.get(name).gpu(SUITE.benchmarks[name]) for name in names)
    return one_gpu(wildcards) if wanted else 0


def digests():
    """What code decided the results: videos, scores by benchmark, tables."""
    deciding = {
        name: BENCHMARKS.get(name).roots(said)
        for name, said in SUITE.benchmarks.items()
    }
    deciding |= {root: [root] for root in ("miga.experiment.run", "eval.tables")}
    return {name: code_digest(*roots) for name, roots in deciding.items()}


def said_of(*benchmarks):
    """Settings of benchmarks as plain data, by name."""
    return {name: SUITE.benchmarks[name].model_dump(mode="json") for name in benchmarks}


def written(*names, folder, kinds):
    return [f"{OUT}/{folder}/{name}.{kind}" for name in names for kind in kinds]


def ablation_files(*ablations):
    """Tables and plots of ablations."""
    tables = [EXPERIMENT.ablations[name].table for name in ablations]
    return written(*tables, folder="tables", kinds=TEXTS) + written(
        *tables, folder="plots", kinds=PICTURES
    )


def finished():
    """Every table, plot and leaderboard of the suite."""
    return [
        *written(*TABLES, folder="tables", kinds=TEXTS),
        *written(*PLOTS, *PLOTS_OF_LENGTH, folder="plots", kinds=PICTURES),
        *ablation_files(*SUITE.ablations),
        *written(*BOARDS, folder="leaderboard", kinds=["csv"]),
        *[f"{OUT}/faults.csv"] * bool(SUITE.faults),
    ]


def everything():
    return [
        *finished(),
        f"{OUT}/report/index.html",
        f"{OUT}/wandb/published.json",
    ]


def parts():
    """What the generation jobs of this run are to make, by entry and base model."""
    from miga.experiment.progress import Part, missing
    from eval import records

    jobs = [job for job in workflow.dag.needrun_jobs() if job.rule.name == "generate"]
    shards = [
        (job.wildcards.base, job.wildcards.entry, job.params.videos) for job in jobs
    ]
    wanted = {}
    for base, entry, videos in shards + list(later()):
        code = frames_digest_of(base, ROWS[entry].method)
        asked = dict(code=code, frames_asked=frames_on(base))
        found = missing(Path(OUT), base, entry, videos, **asked)
        wanted.setdefault((base, entry), []).extend(found)
    seen = records.found(OUT, lenient=True) if wanted else None
    paces = {base: pace_on(base, seen[seen["base"] == base]) for base, _ in wanted}
    for (base, entry), videos in wanted.items():
        yield Part(
            frames=frames_on(base),
            passes=PASSES[base, entry],
            pace=paces[base],
            videos=videos,
        )


def pace_on(base, seen):
    """Seconds of a pass on a base model, as its finished videos took it or as the suite says."""
    from miga.experiment.plan import pace_of

    entries = set(seen["entry"]) & MADE.keys()
    of_a_call = {entry: PASSES.of_a_call(base, entry) for entry in entries}
    return pace_of(SUITE.bases[base], seen, of_a_call)[0]


def warm():
    """Import once what jobs on this machine import, before the first one: most of what a short job takes."""
    from miga.experiment.warm import begin

    if workflow.local_exec and not workflow.deployment_settings.deployment_method:
        scoring = [
            BENCHMARKS.get(name).roots(said) for name, said in SUITE.benchmarks.items()
        ]
        bases = [modules_of(base) for base in SUITE.bases]
        methods = {METHODS.module(row.method) for row in MADE.values()}
        first, others = IMPORTED
        first = sorted({*first, *methods, *chain(*bases)})
        begin(first, sorted({*others, *chain(*scoring)}))


def undecided():
    """Whether this run is still to see if the suite needs more prompts."""
    return any(job.rule.name == "settled" for job in workflow.dag.needrun_jobs())


def later():
    """The shards of rounds that this run may come to, as far as methods make them."""
    if undecided():
        jobs = [job for job in workflow.dag.jobs if job.rule.name == "generate"]
        planned = {
            (j.wildcards.base, j.wildcards.entry, j.wildcards.shard) for j in jobs
        }
        for entry in filter(MADE.get, EVERY_ROW):
            for base in EXPERIMENT.bases_of(entry):
                for shard, videos in shards_of(base, entry).items():
                    if (base, entry, shard) not in planned:
                        yield base, entry, videos


def announce():
    """Before the first job: what this run is to make, for who started it and for all who look on."""
    from snakemake.logging import logger
    from miga.experiment.progress import Progress, begin

    prompts = None if undecided() else settled_after()
    asked = sum(
        len(videos)
        for entry in EVERY_ROW
        for base in EXPERIMENT.bases_of(entry)
        for videos in EXPERIMENT.shards_of(entry, None, base, prompts).values()
    )
    devices = len(gpus()) or 1 if workflow.local_exec else workflow.nodes
    try:
        run = begin(EXPERIMENT.name, Path(OUT), parts(), asked, devices, SUITE.smaller)
    except OSError as error:  # on a full disk, or one that is read-only
        raise WorkflowError(f"{error.filename}: {error.strerror.lower()}") from None
    logger.info(run.sentence(), extra=dict(progress=Progress(run, Path(OUT))))

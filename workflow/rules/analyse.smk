localrules:
    settled,
    tables,
    plots,
    ablation,
    lengths,
    leaderboard,


# After each round of prompts over all entries, where a suite has rounds: tables so far, and whether more are needed.
checkpoint settled:
    input:
        scores=lambda wildcards: scores_of(
            *EXPERIMENT.entries,
            benchmarks=[EXPERIMENT.main],
            prompts=int(wildcards.prompts),
        ),
        manifests=lambda wildcards: manifests_of(
            *EXPERIMENT.entries, prompts=int(wildcards.prompts)
        ),
    output:
        *written(BOARDS[0], "differences", folder="rounds/{prompts}", kinds=TEXTS),
        settled=f"{OUT}/rounds/{{prompts}}/settled.json",
    log:
        f"{OUT}/logs/settled-{{prompts}}.log",
    conda:
        "../envs/miga.yml"
    params:
        title=SUITE.title,
        note=SUITE.noted,
        named=named(*EXPERIMENT.entries),
        entries=list(EXPERIMENT.entries),
        benchmarks=said_of(EXPERIMENT.main),
        reference=SUITE.reference,
        stop=SUITE.stop.model_dump() if SUITE.stop else None,
        resamples=CONFIG.bootstrap,
        code=lambda wildcards: shown_digest("settled", EXPERIMENT.main),
    script:
        "../scripts/settled.py"


# Everything else here is a function of two tables: of videos, and of scores.
rule tables:
    input:
        scores=rules.scores.output[0],
        videos=rules.videos.output[0],
        paper=PAPER,
        measured=MEASURED,
    output:
        [
            report(
                f"{OUT}/tables/{name}.{kind}",
                caption="../report/table.rst",
                category="Tables",
                labels={"table": name, "format": kind},
            )
            for name in TABLES
            for kind in TEXTS
        ],
    log:
        f"{OUT}/logs/tables.log",
    conda:
        "../envs/miga.yml"
    params:
        title=SUITE.title,
        note=SUITE.noted,
        entries=list(EXPERIMENT.entries),
        benchmarks=said_of(*SUITE.benchmarks),
        reference=SUITE.reference,
        contrast=SUITE.contrast.model_dump() if SUITE.contrast else None,
        resamples=CONFIG.bootstrap,
        code=lambda wildcards: shown_digest("tables", *SUITE.benchmarks),
    script:
        "../scripts/tables.py"


# The scores of its rows only, so that `snakemake ablation_miga` makes no other videos.
rule ablation:
    input:
        scores=lambda wildcards: scores_of(
            *ABLATIONS[wildcards.table].rows,
            benchmarks=[EXPERIMENT.main],
            prompts=enough(),
        ),
        manifests=lambda wildcards: manifests_of(
            *ABLATIONS[wildcards.table].rows, prompts=enough()
        ),
        paper=PAPER,
    output:
        tables=expand(f"{OUT}/tables/{{{{table}}}}.{{kind}}", kind=TEXTS),
        plots=report(
            expand(f"{OUT}/plots/{{{{table}}}}.{{kind}}", kind=PICTURES),
            caption="../report/ablation.rst",
            category="Ablations",
            labels={"ablation": "{table}"},
        ),
    log:
        f"{OUT}/logs/{{table}}.log",
    conda:
        "../envs/miga.yml"
    params:
        suite=SUITE.title,
        ablation=lambda wildcards: ABLATIONS[wildcards.table].model_dump(),
        named=lambda wildcards: named(*ABLATIONS[wildcards.table].rows),
        benchmarks=said_of(EXPERIMENT.main),
        note=SUITE.noted,
        resamples=CONFIG.bootstrap,
        code=lambda wildcards: shown_digest("ablation", EXPERIMENT.main),
        cards=lambda wildcards: code_digest(*cards_of(*ABLATIONS[wildcards.table].rows)),
    script:
        "../scripts/ablation.py"


rule plots:
    input:
        scores=rules.scores.output[0],
        videos=rules.videos.output[0],
    output:
        [
            report(
                f"{OUT}/plots/{name}.{kind}",
                caption="../report/plot.rst",
                category="Plots",
                labels={"plot": name, "format": kind},
            )
            for name in PLOTS
            for kind in PICTURES
        ],
    log:
        f"{OUT}/logs/plots.log",
    conda:
        "../envs/miga.yml"
    params:
        names=PLOTS,
        benchmarks=said_of(EXPERIMENT.main),
        entries=list(EXPERIMENT.entries),
        code=lambda wildcards: shown_digest("plots", EXPERIMENT.main),
    script:
        "../scripts/plots.py"


# A process of its own, since peaks of one process add up, and alone on the machine, since times are compared.
rule length:
    input:
        weights=weights_of,
    output:
        f"{OUT}/{{base}}/{{entry}}/length-{{frames}}.json",
    log:
        f"{OUT}/logs/{{base}}/{{entry}}/length-{{frames}}.log",
    conda:
        "../envs/miga.yml"
    threads: alone
    resources:
        gpu=one_gpu,
        mem_mb=memory_of("length"),
    params:
        base=lambda wildcards: model_of(wildcards.base),
        entry=lambda wildcards: ROWS[wildcards.entry].model_dump(
            include={"method", "params"}
        ),
        prompt=next(iter(EXPERIMENT.prompts.values()))[0].prompt,
        code=lambda wildcards: frames_digest(
            METHODS.module(ROWS[wildcards.entry].method),
            *modules_of(wildcards.base),
            "miga.experiment.measure",
        ),
        script=script_digest("length"),
    script:
        "../scripts/length.py"


rule lengths:
    input:
        measured=MEASURED,
        scores=rules.scores.output[0],
        videos=rules.videos.output[0],
    output:
        report(
            expand(f"{OUT}/plots/lengths.{{kind}}", kind=PICTURES),
            caption="../report/lengths.rst",
            category="Plots",
            labels={"plot": "lengths"},
        ),
    log:
        f"{OUT}/logs/lengths.log",
    conda:
        "../envs/miga.yml"
    params:
        entries=list(EXPERIMENT.entries),
        code=code_digest("workflow/scripts/lengths.py"),
    script:
        "../scripts/lengths.py"


# Which metric sees which fault, on sound videos of this suite: a check of the matrix that tables go by.
rule faults:
    input:
        videos=lambda wildcards: manifests_of(
            SUITE.faults.entry,
            bases=EXPERIMENT.bases_of(SUITE.faults.entry)[:1],
            prompts=enough(),
        ),
    output:
        f"{OUT}/faults.csv",
        f"{OUT}/faults.md",
        report(
            expand(f"{OUT}/plots/faults.{{kind}}", kind=PICTURES),
            caption="../report/faults.rst",
            category="Plots",
            labels={"plot": "faults"},
        ),
    log:
        f"{OUT}/logs/faults.log",
    conda:
        "../envs/miga.yml"
    resources:
        gpu=one_gpu,
        mem_mb=1500,
    params:
        prompts=lambda wildcards: prompts_of(SUITE.faults.entry, EXPERIMENT.main),
        benchmarks=said_of(EXPERIMENT.main),
        videos=lambda wildcards: SUITE.faults.videos,
        strength=lambda wildcards: SUITE.faults.strength,
        code=lambda wildcards: code_digest(
            "workflow/scripts/faults.py", BENCHMARKS.module(EXPERIMENT.main)
        ),
    script:
        "../scripts/faults.py"


rule leaderboard:
    input:
        scores=rules.scores.output[0],
        videos=rules.videos.output[0],
    output:
        [
            report(
                f"{OUT}/leaderboard/{name}.csv",
                caption="../report/leaderboard.rst",
                category="Leaderboard",
                labels={"leaderboard": name},
            )
            for name in BOARDS
        ],
    log:
        f"{OUT}/logs/leaderboard.log",
    conda:
        "../envs/miga.yml"
    params:
        entries=list(EXPERIMENT.entries),
        benchmarks=said_of(*SUITE.benchmarks),
        resamples=CONFIG.bootstrap,
        code=lambda wildcards: shown_digest("leaderboard", *SUITE.benchmarks),
    script:
        "../scripts/leaderboard.py"

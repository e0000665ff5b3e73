# A judge answers questions about each video. What it said is kept in the cache, so that an interrupted job goes on where
# it was and an equal question costs nothing; the answers beside the scores are there to be read.
rule narrlv:
    input:
        lambda wildcards: manifests_of(wildcards.entry, bases=[wildcards.base]),
    output:
        scores=f"{OUT}/{{base}}/{{entry}}/narrlv.parquet",
        answers=directory(f"{OUT}/{{base}}/{{entry}}/narrlv"),
    log:
        f"{OUT}/logs/{{base}}/{{entry}}/narrlv.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=GPU if SUITE.judge and SUITE.judge.kind == "qwen" else 0,
        mem_mb=1000,
    params:
        prompts=lambda wildcards: prompts_of(wildcards.entry, "narrlv"),
        judge=SUITE.judge.model_dump() if SUITE.judge else None,
        cache=f"{OUT}/cache/narrlv",
        code=code_digest("eval.narrlv.score", "miga.sprites.story"),
    script:
        "../scripts/narrlv.py"


# Table 2 of the paper: all three scores and their mean for each (number of atoms, factor).
rule stories:
    input:
        scores=narrlv_of(*EXPERIMENT.entries),
        manifests=[
            manifest
            for entry in EXPERIMENT.entries
            if prompts_of(entry, "narrlv")
            for manifest in manifests_of(entry)
        ],
        paper=PAPER,
    output:
        [
            report(
                f"{OUT}/tables/narrlv.{kind}",
                caption="../report/table.rst",
                category="Tables",
                labels={"table": "narrlv", "format": kind},
            )
            for kind in TEXTS
        ],
    log:
        f"{OUT}/logs/stories.log",
    conda:
        "../../environment.yml"
    params:
        title=(
            "NarrLV" if SUITE.judge and SUITE.judge.suites else f"{SUITE.title}-NarrLV"
        ),
        notes=[] if SUITE.judge and SUITE.judge.suites else [SUITE.note],
        entries=list(EXPERIMENT.entries),
        resamples=CONFIG.bootstrap,
        code=code_digest("eval.narrlv.table"),
    script:
        "../scripts/stories.py"

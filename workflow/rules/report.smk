localrules:
    quality,
    manifest,
    page,
    results_page,


# What a reader needs before the numbers: are they trustworthy, where do they come from, and a page that shows them.
rule quality:
    input:
        scores=rules.scores.output[0],
        videos=rules.videos.output[0],
    output:
        f"{OUT}/quality.json",
    log:
        f"{OUT}/logs/quality.log",
    conda:
        "../envs/miga.yml"
    params:
        code=lambda wildcards: shown_digest("quality", *SUITE.benchmarks),
    script:
        "../scripts/quality.py"


rule manifest:
    input:
        finished(),
        rules.prompts.output,
        rules.quality.output,
    output:
        f"{OUT}/manifest.json",
    log:
        f"{OUT}/logs/manifest.log",
    conda:
        "../envs/miga.yml"
    params:
        config={
            "config": CONFIG.model_dump(mode="json"),
            "experiment": EXPERIMENT.model_dump(mode="json"),
        },
        code=lambda wildcards: digests(),
        script=code_digest("workflow/scripts/manifest.py"),
    script:
        "../scripts/manifest.py"


rule page:
    input:
        finished(),
        scores=rules.scores.output[0],
        quality=rules.quality.output[0],
        manifest=rules.manifest.output[0],
        videos=rules.videos.output[0],
        template=[
            os.path.relpath(path)
            for path in sorted((CODE / "eval" / "report").glob("*.*"))
        ],
    output:
        f"{OUT}/report/index.html",
        f"{OUT}/report/summary.txt",
    log:
        f"{OUT}/logs/report.log",
    conda:
        "../envs/miga.yml"
    params:
        title=SUITE.title,
        note=SUITE.noted,
        entries=list(EXPERIMENT.entries),
        tables=TABLES,
        code=code_digest("workflow/scripts/page.py"),
    script:
        "../scripts/page.py"


# What the repository says of this suite, by request only: `make results`.
rule results_page:
    input:
        finished(),
        scores=rules.scores.output[0],
    output:
        page=f"docs/results-{EXPERIMENT.name}.md",
        numbers=f"docs/results-{EXPERIMENT.name}.csv",
        picture=f"docs/pictures/results-{EXPERIMENT.name}-drift.png",
    log:
        f"{OUT}/logs/results_page.log",
    conda:
        "../envs/miga.yml"
    params:
        title=SUITE.title,
        tables=TABLES,
        board=BOARDS[0],
        code=code_digest("eval.report"),
    script:
        "../scripts/results_page.py"

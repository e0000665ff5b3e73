# Every video is decoded once for all metrics.
rule score:
    input:
        lambda wildcards: manifests_of(wildcards.entry, bases=[wildcards.base]),
    output:
        f"{OUT}/{{base}}/{{entry}}/scores.parquet",
    log:
        f"{OUT}/logs/{{base}}/{{entry}}/score.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=GPU,
        mem_mb=1000,
    params:
        backbones=SUITE.backbones,
        metrics=lambda wildcards: metrics_of(wildcards.entry, "vbench"),
        code=scoring_digest(),
    script:
        "../scripts/score.py"


rule scores:
    input:
        scores_of(*EVERY_ROW),
        narrlv_of(*EVERY_ROW),
    output:
        f"{OUT}/scores.parquet",
    log:
        f"{OUT}/logs/scores.log",
    conda:
        "../../environment.yml"
    params:
        code=code_digest("eval.scores"),
    script:
        "../scripts/scores.py"

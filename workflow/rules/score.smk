localrules:
    scores,


# One rule for every benchmark, a job per shard of videos. What a judge said and the scores of each video are kept in the
# cache, so that an interrupted job resumes and a suite that grows scores its new videos only; what a benchmark leaves to
# be read besides is in the folder called as the table of scores.
rule score:
    input:
        videos=f"{OUT}/{{base}}/{{entry}}/shard-{{shard}}.json",
        weights=of_benchmark(
            lambda benchmark, settings: list(
                map(os.path.relpath, benchmark.weights(settings))
            )
        ),
    output:
        f"{OUT}/{{base}}/{{entry}}/{{benchmark}}/{{shard}}.parquet",
    log:
        f"{OUT}/logs/{{base}}/{{entry}}/score-{{benchmark}}-{{shard}}.log",
    priority: 1
    conda:
        "../envs/miga.yml"
    resources:
        gpu=gpu_of_benchmark,
        mem_mb=1000,
    params:
        prompts=scored,
        settings=of_benchmark(lambda benchmark, settings: settings.of_scores()),
        cache=f"{OUT}/cache/{{benchmark}}",
        formulas=of_benchmark(lambda benchmark, settings: benchmark.formulas(settings)),
        script=script_digest("score"),
        code=of_benchmark(
            lambda benchmark, settings: scores_digest(*benchmark.roots(settings))
        ),
    script:
        "../scripts/score.py"


rule scores:
    input:
        lambda wildcards: scores_of(*EVERY_ROW, prompts=enough()),
    output:
        f"{OUT}/scores.parquet",
    log:
        f"{OUT}/logs/scores.log",
    conda:
        "../envs/miga.yml"
    params:
        code=code_digest("workflow/scripts/scores.py"),
    script:
        "../scripts/scores.py"

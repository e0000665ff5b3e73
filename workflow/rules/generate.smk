localrules:
    take,
    videos,


onstart:
    room_for_arrays()
    warm()
    announce()
    workflow.dag.update_priority()  # now that passes are counted


# A job loads the model once and makes a shard of videos. The videos are not outputs of the rule, since Snakemake would
# delete the finished ones of a shard that dies; the manifest is, and it lists them.
rule generate:
    input:
        texts=texts_of,
        weights=weights_of,
    output:
        f"{OUT}/{{base}}/{{entry}}/shard-{{shard}}.json",
    log:
        f"{OUT}/logs/{{base}}/{{entry}}/generate-{{shard}}.log",
    wildcard_constraints:
        entry=either(MADE),
    priority: dearest_first
    conda:
        "../envs/miga.yml"
    resources:
        gpu=one_gpu,
        mem_mb=memory_of("generate"),
        runtime=minutes_of,
    params:
        base=lambda wildcards: model_of(wildcards.base),
        entry=lambda wildcards: ROWS[wildcards.entry].model_dump(
            include={"method", "params"}
        ),
        videos=videos_of,
        then=then_of,
        frames=lambda wildcards: frames_on(wildcards.base),
        encoder=SUITE.encoder.model_dump(),
        suite=EXPERIMENT.name,
        code=generation_digest,
        script=script_digest("generate"),
    script:
        "../scripts/generate.py"


# Videos that others made are copied, and get a sidecar of what is known of them.
rule take:
    input:
        files_of,
    output:
        f"{OUT}/{{base}}/{{entry}}/shard-{{shard}}.json",
    log:
        f"{OUT}/logs/{{base}}/{{entry}}/take-{{shard}}.log",
    wildcard_constraints:
        entry=either(ROWS.keys() - MADE.keys()),
    conda:
        "../envs/miga.yml"
    params:
        entry=lambda wildcards: ROWS[wildcards.entry].model_dump(exclude={"label"}),
        videos=videos_of,
        suite=EXPERIMENT.name,
        code=code_digest("miga.experiment.given"),
    script:
        "../scripts/take.py"


# All that is published of the sidecars, read once; labels join here.
rule videos:
    input:
        lambda wildcards: manifests_of(*EVERY_ROW, prompts=enough()),
    output:
        f"{OUT}/videos.parquet",
    log:
        f"{OUT}/logs/videos.log",
    conda:
        "../envs/miga.yml"
    params:
        named=named(*EVERY_ROW),
        code=code_digest("workflow/scripts/videos.py", *cards_of(*EVERY_ROW)),
    script:
        "../scripts/videos.py"

# A job loads the model once and makes a shard of videos. The videos are not outputs of the rule, since Snakemake would
# delete the finished ones of a shard that dies; the manifest is, and it lists them.
rule generate:
    input:
        texts=rules.encode.output[0],
        weights=weights_of,
    output:
        f"{OUT}/{{base}}/{{entry}}/shard-{{shard}}.json",
    log:
        f"{OUT}/logs/{{base}}/{{entry}}/generate-{{shard}}.log",
    benchmark:
        f"{OUT}/benchmarks/{{base}}/{{entry}}/generate-{{shard}}.tsv"
    conda:
        "../../environment.yml"
    resources:
        gpu=GPU,
        mem_mb=1500,
    params:
        base=lambda wildcards: model_of(wildcards.base),
        entry=lambda wildcards: ROWS[wildcards.entry].model_dump(),
        videos=lambda wildcards: shards_of(wildcards.entry)[int(wildcards.shard)],
        frames=lambda wildcards: SUITE.bases[wildcards.base].frames or SUITE.frames,
        encoder=SUITE.encoder.model_dump(),
        suite=EXPERIMENT.name,
        code=generation_digest,
    script:
        "../scripts/generate.py"

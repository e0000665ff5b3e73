# `snakemake fetch`: all that the suite must have from elsewhere, before it runs; on the machine with the network.
rule fetch:
    log:
        f"{OUT}/logs/fetch.log",
    conda:
        "../../environment.yml"
    params:
        suite=choose_suite(CONFIG.suite)[0],
        benchmarks=said_of(*SUITE.benchmarks),
        root=str(ROOT),
    script:
        "../scripts/fetch.py"


rule prompts:
    output:
        f"{OUT}/prompts.json",
    log:
        f"{OUT}/logs/prompts.log",
    conda:
        "../../environment.yml"
    params:
        prompts={
            name: [prompt.model_dump() for prompt in chosen]
            for name, chosen in EXPERIMENT.prompts.items()
        },
    script:
        "../scripts/prompts.py"


# Every prompt goes through the text tower once for each base model, whatever methods use it.
rule encode:
    input:
        prompts=rules.prompts.output[0],
        weights=weights_of,
    output:
        f"{OUT}/{{base}}/text.safetensors",
    log:
        f"{OUT}/logs/{{base}}/encode.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=one_gpu,
        mem_mb=memory_of,
    params:
        base=lambda wildcards: model_of(wildcards.base),
        code=lambda wildcards: texts_digest(*modules_of(wildcards.base)),
    script:
        "../scripts/encode.py"

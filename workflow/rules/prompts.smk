# What takes seconds is not worth a job of a cluster: each file of rules says what that is.
localrules:
    fetch,
    prompts,


# `snakemake fetch`: all that the suite must have from elsewhere, before it runs; on the machine with the network.
rule fetch:
    log:
        f"{OUT}/logs/fetch.log",
    conda:
        "../envs/miga.yml"
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
        "../envs/miga.yml"
    params:
        prompts={
            name: [prompt.model_dump() for prompt in chosen]
            for name, chosen in EXPERIMENT.prompts.items()
        },
        code=code_digest("workflow/scripts/prompts.py"),
    script:
        "../scripts/prompts.py"


# Every prompt goes through the text tower once for each base model, whatever methods use it. In parts, since Snakemake
# looks at no change in a job that waits for another: of new prompts, old videos must not have to wait.
rule encode:
    input:
        weights=weights_of,
    output:
        f"{OUT}/{{base}}/text-{{part}}.safetensors",
    log:
        f"{OUT}/logs/{{base}}/encode-{{part}}.log",
    conda:
        "../envs/miga.yml"
    resources:
        gpu=one_gpu,
        mem_mb=memory_of("encode"),
    params:
        base=lambda wildcards: model_of(wildcards.base),
        prompts=lambda wildcards: {
            prompt.id: [prompt.prompt, *prompt.then]
            for prompt in ENCODED[wildcards.part]
        },
        code=lambda wildcards: texts_digest(*modules_of(wildcards.base)),
        script=script_digest("encode"),
    script:
        "../scripts/encode.py"

localrules:
    publish,


# The last rule: it takes what the others left, and no network, however broken, makes it fail.
rule publish:
    input:
        rules.scores.output,
        rules.tables.output,
        rules.plots.output,
        rules.leaderboard.output,
        rules.manifest.output,
        ablation_files(*SUITE.ablations),
    output:
        f"{OUT}/wandb/published.json",
    log:
        f"{OUT}/logs/publish.log",
    conda:
        "../envs/miga.yml"
    params:
        wandb=CONFIG.wandb.model_dump(),
        code=code_digest("workflow/scripts/publish.py"),
    script:
        "../scripts/publish.py"


# Whatever rule has made it.
if UNREADABLE:
    for made in workflow.rules:
        made.set_input(again)

"""Generate, score and tabulate one suite: `snakemake --cores all`. See README.md."""

from snakemake.utils import min_version

min_version("9.27")


configfile: f"{workflow.basedir}/config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"


wildcard_constraints:
    base=either(EXPERIMENT.suite.bases),
    entry=either(ROWS),
    table=either(ABLATIONS),
    benchmark=either(SUITE.benchmarks),
    shard=r"[^/]+-\d+-seed-\d+",
    part=either(ENCODED),
    frames=r"\d+",
    prompts=r"\d+",


rule all:
    default_target: True
    input:
        everything(),


include: "workflow/rules/prompts.smk"
include: "workflow/rules/generate.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/analyse.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/publish.smk"


# `snakemake miga`: the videos and scores of one entry, on every base model of the suite.
for entry in ROWS:

    rule:
        name:
            entry
        input:
            on_request(scores_of, entry),


# `snakemake ablation_miga`: the tables and plots of all ablations of one method.
for method in sorted({ablation.of for ablation in EXPERIMENT.ablations.values()}):

    rule:
        name:
            f"ablation_{method}"
        input:
            ablation_files(*EXPERIMENT.ablations_of(method)),

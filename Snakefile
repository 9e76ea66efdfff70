# The whole pipeline: problems -> SFT -> rounds of generate, score, schedule, GRPO -> evaluation -> report -> MLflow.
# Recipes are in config/; what a stage does is in scripts/, one program per rule.
from snakemake.utils import min_version

min_version("9.0")

# A recipe given on the command line or by the profile stands alone: a second file would be merged into it.
if not workflow.configfiles:

    configfile: "config/digits.yaml"


report: "workflow/report/workflow.rst"


# What rules ask for.
include: "workflow/rules/common.smk"
include: "workflow/rules/settings.smk"
include: "workflow/rules/commands.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/sources.smk"
include: "workflow/rules/rounds.smk"
include: "workflow/rules/evaluations.smk"
include: "workflow/rules/contents.smk"
include: "workflow/rules/calls.smk"
# The rules, a file a stage.
include: "workflow/rules/data.smk"


if CARD:

    include: "workflow/rules/card.smk"


include: "workflow/rules/sft.smk"
include: "workflow/rules/vas.smk"
include: "workflow/rules/grpo.smk"
include: "workflow/rules/curate.smk"
include: "workflow/rules/theorem.smk"
include: "workflow/rules/counterfactual.smk"
include: "workflow/rules/eval.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/provenance.smk"


rule all:
    default_target: True
    input:
        tables_unless_swallowed,
        f"{R}/report.html",
        f"{R}/mlflow_runs.json",
    localrule: True


rule downloads:
    input:
        downloads,
    localrule: True


rule train:
    input:
        last_checkpoints,
    localrule: True


rule curate:
    input:
        curated,
    localrule: True


rule theorem:
    input:
        theorem_outputs,
    localrule: True


rule counterfactual:
    input:
        counterfactual_outputs,
    localrule: True


rule evaluate:
    input:
        all_scores,
    localrule: True


rule tables:
    input:
        all_tables,
    localrule: True


# The paper's tables and figures, each with what it needs alone.
for number in ("2", "3", "4"):

    rule:
        name:
            f"table{number}"
        input:
            table_outputs(number),
        localrule: True


for number in ("2", "3"):

    rule:
        name:
            f"figure{number}"
        input:
            figure_outputs(number),
        localrule: True


# Last, because it goes over all rules.
complete(workflow.rules)

# The paper's theorem (§4): gradients of single problems beside their reward variance. On request, after `curate`'s responses.


rule measure_gradients:
    input:
        **folder_input("model", lambda wildcards: CURATES[wildcards.model]),
        problems=f"{R}/data/problems.parquet",
        rollouts=curation_rollouts,
        rewards=f"{CURATED}/rewards.parquet",
        prompt=prompt_file("training"),
    output:
        gradients=f"{R}/{{model}}/theorem/gradients.csv",
        summary=f"{R}/{{model}}/theorem/summary.json",
        record=run_record("measure_gradients", "{model}"),
    conda:
        STACK
    threads: resource("generate", "threads")
    resources:
        **job_resources("generate"),
        **machine_of("measure_gradients"),
    params:
        **program("measure_gradients"),
        prompt=prompt("training"),
        threads=resource("generate", "threads"),
    shell:
        command(
            "measure_gradients",
            "--model {input.model} --problems {input.problems} --rollouts {input.rollouts} --rewards {input.rewards}"
            " {params.prompt} --threads {params.threads} --out {output.gradients} --summary {output.summary}",
            launcher="{resources.starter}",
        )


# The same responses, as whole groups: what a batch's gradient is worth when it is drawn by the first scores of each run.
# The first of them are left out: under one seed they are the responses that these scores were made from.
rule measure_signal:
    input:
        **folder_input("model", lambda wildcards: CURATES[wildcards.model]),
        problems=f"{R}/data/problems.parquet",
        rollouts=curation_rollouts,
        rewards=f"{CURATED}/rewards.parquet",
        scores=lambda wildcards: list(first_scores(wildcards.model).values()),
        prompt=prompt_file("training"),
    output:
        table=f"{R}/{{model}}/theorem/signal_to_noise.csv",
        record=run_record("measure_signal", "{model}"),
    conda:
        STACK
    threads: resource("generate", "threads")
    resources:
        **job_resources("generate"),
        **machine_of("measure_signal"),
    params:
        **program("measure_signal"),
        prompt=prompt("training"),
        scores=lambda wildcards: optional(
            "--scores",
            [f"{run}={file}" for run, file in first_scores(wildcards.model).items()],
        ),
        skip=lambda wildcards: responses_of_scores(wildcards.model),
        threads=resource("generate", "threads"),
    shell:
        command(
            "measure_signal",
            "--model {input.model} --problems {input.problems} --rollouts {input.rollouts} --rewards {input.rewards}"
            " {params.scores} --skip {params.skip} {params.prompt} --threads {params.threads} --out {output.table}",
            launcher="{resources.starter}",
        )

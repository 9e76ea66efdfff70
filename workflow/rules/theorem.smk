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

# The cold start: supervised fine-tuning of each base model.


rule train_sft:
    input:
        **folder_input("model", base),
        conversations=f"{R}/data/sft.parquet",
        validation=f"{R}/data/sft_validation.parquet",
        prompt=prompt_file("training"),
    output:
        **folder_output("checkpoint", f"{R}/{{model}}/sft/checkpoint"),
        metrics=f"{R}/{{model}}/sft/metrics.jsonl",
        record=run_record("train_sft", "{model}"),
    wildcard_constraints:
        model=any_of(RECIPE.sft_models()),
    priority: TRAINING
    conda:
        STACK
    threads: resource("sft", "threads")
    resources:
        **job_resources("sft"),
        **machine_of("train_sft"),
    params:
        **program("train_sft"),
        work=f"{R}/work/train_sft/{{model}}",
        prompt=prompt("training"),
        threads=rank_threads("sft"),
        seed=RECIPE.seed,
    shell:
        command(
            "train_sft",
            "--model {input.model}"
            " --conversations {input.conversations} --validation {input.validation} {params.prompt}"
            " --out {output.checkpoint} --metrics {output.metrics} --work {params.work}"
            " --seed {params.seed} --threads {params.threads}"
            " ${{SLURM_JOB_ID:+--deadline-minutes {resources.deadline}}}",
            launcher="{resources.launcher}",
        )

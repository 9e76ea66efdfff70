# The cold start: supervised fine-tuning of each base model.


rule train_sft:
    input:
        settings=f"{R}/{{model}}/settings/sft.json",
        model=f"{R}/{{model}}/base",
        conversations=f"{R}/data/sft.parquet",
        validation=f"{R}/data/sft_validation.parquet",
        prompt=prompt_file("training"),
    output:
        checkpoint=directory(f"{R}/{{model}}/sft/checkpoint"),
        metrics=f"{R}/{{model}}/sft/metrics.jsonl",
        record=run_record("train_sft", "{model}"),
    log:
        **logs("train_sft", "{model}"),
    conda:
        STACK
    threads: resource("sft", "threads")
    resources:
        **job_resources("sft"),
    params:
        work=f"{R}/work/train_sft/{{model}}",
        prompt=prompt("training"),
        threads=rank_threads("sft"),
        seed=RECIPE.seed,
        code=code_digest("train_sft"),
    shell:
        "{resources.launcher} scripts/train_sft.py"
        " --settings {input.settings} --model {input.model}"
        " --conversations {input.conversations} --validation {input.validation} {params.prompt}"
        " --out {output.checkpoint} --metrics {output.metrics} --work {params.work}"
        " --seed {params.seed} --threads {params.threads}"
        " ${{SLURM_JOB_ID:+--deadline-minutes {resources.deadline}}}"
        " --record {output.record} --attempt {log.attempt} > {log.text} 2>&1"

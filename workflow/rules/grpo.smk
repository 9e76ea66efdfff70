# Rounds of GRPO: each starts from the checkpoint and the optimizer's state of the one before.


rule write_run_settings:
    output:
        settings=f"{R}/{{model}}/{{run}}/settings/grpo.json",
        record=run_record("write_run_settings", "{model}/{run}/grpo"),
    log:
        **logs("write_run_settings", "{model}/{run}/grpo"),
    localrule: True
    conda:
        CPU
    params:
        values=settings_json("grpo"),
        code=code_digest("write_settings"),
    shell:
        "python scripts/write_settings.py --values {params.values:q} --out {output.settings}"
        " --record {output.record} --attempt {log.attempt} > {log.text} 2>&1"


# Inside SLURM the trainer saves and leaves before the job's time limit; elsewhere there is none.
rule train_grpo:
    input:
        settings=f"{R}/{{model}}/{{run}}/settings/grpo.json",
        model=policy,
        reference=f"{R}/{{model}}/sft/checkpoint",
        problems=f"{R}/data/problems.parquet",
        schedule=f"{ROUND}/schedule.parquet",
        state=trainer_state,
        validation=f"{R}/data/validation.parquet",
        prompt=prompt_file("training"),
    output:
        checkpoint=directory(f"{ROUND}/checkpoint"),
        state=keep_state(directory(f"{ROUND}/trainer_state")),
        rollouts=f"{ROUND}/train_rollouts.parquet",
        rewards=f"{ROUND}/train_rewards.parquet",
        metrics=f"{ROUND}/metrics.jsonl",
        timings=f"{ROUND}/timings.jsonl",
        validation=f"{ROUND}/validation.jsonl",
        entries=f"{ROUND}/entries.jsonl",
        record=run_record("train_grpo", "{model}/{run}/seed{seed}/round{r}"),
    log:
        **logs("train_grpo", "{model}/{run}/seed{seed}/round{r}"),
    conda:
        STACK
    threads: resource("train", "threads")
    resources:
        **job_resources("train"),
    params:
        work=f"{R}/work/train_grpo/{{model}}/{{run}}/seed{{seed}}/round{{r}}",
        state=state_option,
        prompt=prompt("training"),
        validate_every=setting("validation.every"),
        threads=rank_threads("train"),
        code=code_digest("train_grpo"),
    shell:
        "{resources.launcher} scripts/train_grpo.py"
        " --settings {input.settings} --model {input.model} --reference {input.reference}"
        " --problems {input.problems} --schedule {input.schedule} {params.state} {params.prompt}"
        " --validation {input.validation} --validate-every {params.validate_every}"
        " --out {output.checkpoint} --state-out {output.state} --rollouts {output.rollouts} --rewards {output.rewards}"
        " --metrics {output.metrics} --timings {output.timings} --validation-out {output.validation}"
        " --entries {output.entries}"
        " --work {params.work} --seed {wildcards.seed} --threads {params.threads}"
        " ${{SLURM_JOB_ID:+--deadline-minutes {resources.deadline}}}"
        " --record {output.record} --attempt {log.attempt} > {log.text} 2>&1"


# A run's last optimizer state is kept, so that more rounds can follow; the earlier ones go once they were used.
use rule train_grpo as train_grpo_last with:
    output:
        checkpoint=directory(f"{ROUND}/checkpoint"),
        state=directory(f"{ROUND}/trainer_state"),
        rollouts=f"{ROUND}/train_rollouts.parquet",
        rewards=f"{ROUND}/train_rewards.parquet",
        metrics=f"{ROUND}/metrics.jsonl",
        timings=f"{ROUND}/timings.jsonl",
        validation=f"{ROUND}/validation.jsonl",
        entries=f"{ROUND}/entries.jsonl",
        record=run_record("train_grpo", "{model}/{run}/seed{seed}/round{r}"),
    wildcard_constraints:
        model=LAST_ROUNDS,


ruleorder: train_grpo_last > train_grpo


rule calibrate:
    input:
        schedule=f"{ROUND}/schedule.parquet",
        rewards=rewards_so_far,
        problems=f"{R}/data/problems.parquet",
        scores=scores,
    output:
        calibration=f"{ROUND}/calibration.jsonl",
        record=run_record("calibrate", "{model}/{run}/seed{seed}/round{r}"),
    log:
        **logs("calibrate", "{model}/{run}/seed{seed}/round{r}"),
    conda:
        CPU
    resources:
        **job_resources("score"),
    params:
        scores=scores_option,
        code=code_digest("calibrate"),
    shell:
        "python scripts/calibrate.py --schedule {input.schedule} --rewards {input.rewards}"
        " --problems {input.problems} {params.scores} --out {output.calibration}"
        " --record {output.record} --attempt {log.attempt} > {log.text} 2>&1"

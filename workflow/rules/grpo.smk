# Rounds of GRPO: each starts from the checkpoint and the optimizer's state of the one before.


# Inside SLURM the trainer saves and leaves before the job's time limit; elsewhere there is none.
rule train_grpo:
    input:
        **folder_input("model", policy),
        **folder_input("reference", cold_start),
        **folder_input("state", trainer_state),
        problems=f"{R}/data/problems.parquet",
        schedule=schedule,
        earlier=observed_rewards,
        validation=f"{R}/data/validation.parquet",
        prompt=prompt_file("training"),
    output:
        **round_outputs(temp),
    conda:
        STACK
    threads: resource("train", "threads")
    resources:
        **job_resources("train"),
        **machine_of("train_grpo"),
    params:
        **program("train_grpo"),
        work=f"{R}/work/train_grpo/{{model}}/{{run}}/seed{{seed}}/round{{r}}",
        schedule=schedule_option,
        state=state_option,
        prompt=prompt("training"),
        validate_every=setting("validation.every"),
        threads=rank_threads("train"),
    shell:
        command(
            "train_grpo",
            "--model {input.model} --reference {input.reference}"
            " --problems {input.problems} {params.schedule} {params.state} {params.prompt}"
            " --validation {input.validation} --validate-every {params.validate_every}"
            " --out {output.checkpoint} --state-out {output.state} --rollouts {output.rollouts} --rewards {output.rewards}"
            " --metrics {output.metrics} --timings {output.timings} --validation-out {output.validation}"
            " --entries {output.entries}"
            " --work {params.work} --seed {wildcards.seed} --threads {params.threads}"
            " ${{SLURM_JOB_ID:+--deadline-minutes {resources.deadline}}}",
            launcher="{resources.launcher}",
        )


# A run's last optimizer state is kept, so that more rounds can follow, and by default the one before it, so that the
# last round can be repeated alone. The earlier ones go once they were used.
use rule train_grpo as train_grpo_kept with:
    output:
        **round_outputs(),
    wildcard_constraints:
        model=only_rounds(KEPT),


# Where the sampler observes, no schedule is drawn before the round: the training writes the one that it used.
use rule train_grpo as train_grpo_observing with:
    output:
        **round_outputs(temp),
        schedule=f"{ROUND}/schedule.parquet",
    wildcard_constraints:
        model=only_rounds(OBSERVING),


use rule train_grpo as train_grpo_observing_kept with:
    output:
        **round_outputs(),
        schedule=f"{ROUND}/schedule.parquet",
    wildcard_constraints:
        model=only_rounds([one for one in KEPT if one in OBSERVING]),


ruleorder: train_grpo_observing_kept > train_grpo_kept > train_grpo
ruleorder: train_grpo_observing_kept > train_grpo_observing > train_grpo
ruleorder: train_grpo_observing_kept > train_grpo_observing > draw_schedule


rule calibrate:
    input:
        schedule=f"{ROUND}/schedule.parquet",
        rewards=rewards_so_far,
        problems=f"{R}/data/problems.parquet",
        scores=scores,
    output:
        calibration=f"{ROUND}/calibration.jsonl",
        record=run_record("calibrate", "{model}/{run}/seed{seed}/round{r}"),
    resources:
        **job_resources("score"),
    params:
        **program("calibrate"),
        scores=scores_option,
    shell:
        command(
            "calibrate",
            "--schedule {input.schedule} --rewards {input.rewards}"
            " --problems {input.problems} {params.scores} --out {output.calibration}",
        )

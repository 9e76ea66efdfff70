# Rounds of GRPO: each starts from the checkpoint and the optimizer's state of the one before.


# Snakemake knows no output that only some jobs of a rule have, or that is temporary for some of them: each kind of round
# has its rule. Where the sampler observes, the training writes the schedule that it used; elsewhere one was drawn before.
# Inside SLURM the trainer saves and leaves before the job's time limit; elsewhere there is none.
for observing, kept in product((False, True), repeat=2):

    rule:
        name:
            f"train_grpo{'_observing' * observing}{'_kept' * kept}"
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
            **round_outputs(observing, kept),
        wildcard_constraints:
            model=only_rounds(observing, kept),
        priority: TRAINING
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
                " --out {output.checkpoint} --state-out {output.state}"
                " --rollouts {output.rollouts} --rewards {output.rewards}"
                " --metrics {output.metrics} --timings {output.timings} --validation-out {output.validation}"
                " --entries {output.entries}"
                " --work {params.work} --seed {wildcards.seed} --threads {params.threads}"
                " ${{SLURM_JOB_ID:+--deadline-minutes {resources.deadline}}}",
                launcher="{resources.launcher}",
            )


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

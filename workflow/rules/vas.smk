# Variance-aware sampling: rollouts of every problem, scores from them, and the schedule drawn from the scores.


rule generate:
    input:
        **folder_input("model", policy),
        problems=sampled_problems,
        prompt=prompt_file("training"),
    output:
        rollouts=f"{ROUND}/rollouts/{{shard}}.parquet",
        record=run_record("generate", "{model}/{run}/seed{seed}/round{r}/{shard}"),
    priority: SCORES
    conda:
        STACK
    threads: resource("generate", "threads")
    resources:
        **job_resources("generate"),
        **machine_of("generate"),
    params:
        **program("generate"),
        shard=shard,
        prompt=prompt("training"),
        round=round_number,
        threads=resource("generate", "threads"),
    shell:
        command(
            "generate",
            "--model {input.model} --problems {input.problems} --out {output.rollouts}"
            " {params.prompt} --shard {params.shard}"
            " --seed {wildcards.seed} --round {params.round} --threads {params.threads}",
            launcher="{resources.starter}",
        )


# Round 0 samples from the SFT checkpoint: all runs with the same settings of generation and seed share it.
use rule generate as generate_initial with:
    input:
        **folder_input("model", cold_start),
        problems=f"{R}/data/problems.parquet",
        prompt=prompt_file("training"),
    output:
        rollouts=f"{INITIAL}/rollouts/{{shard}}.parquet",
        record=run_record("generate_initial", "{model}/{key}/seed{seed}/{shard}"),


# Which problems are sampled again, where the refresh does not sample all of them.
rule select_problems:
    input:
        problems=f"{R}/data/problems.parquet",
        scores=previous_scores,
        training=training_history,
        passes=pass_history,
    output:
        problems=f"{ROUND}/selected.parquet",
        record=run_record("select_problems", "{model}/{run}/seed{seed}/round{r}"),
    priority: SCORES
    resources:
        **job_resources("score"),
        **machine_of("select_problems"),
    params:
        **program("select_problems"),
        first_step=first_step,
        options=selection_options,
    shell:
        command(
            "select_problems",
            "--problems {input.problems} --out {output.problems}"
            " --first-step {params.first_step} {params.options}",
        )


rule score_vps:
    input:
        problems=f"{R}/data/problems.parquet",
        rollouts=rollouts,
        previous=previous_scores,
        verdicts=known_verdicts,
        training=training_history,
        passes=pass_history,
    output:
        scores=f"{ROUND}/scores.parquet",
        rewards=f"{ROUND}/rewards.parquet",
        record=run_record("score_vps", "{model}/{run}/seed{seed}/round{r}"),
    priority: SCORES
    threads: resource("score", "threads")
    resources:
        **job_resources("score"),
        **machine_of("score_vps"),
    params:
        **program("score_vps"),
        options=score_options,
    shell:
        command(
            "score_vps",
            "--problems {input.problems} --rollouts {input.rollouts} --out {output.scores}"
            " --rewards {output.rewards} {params.options}",
        )


rule draw_schedule:
    input:
        problems=f"{R}/data/problems.parquet",
        scores=scores,
    output:
        schedule=f"{ROUND}/schedule.parquet",
        record=run_record("draw_schedule", "{model}/{run}/seed{seed}/round{r}"),
    wildcard_constraints:
        model=only_rounds(observing=False),
    priority: SCORES
    resources:
        **job_resources("score"),
        **machine_of("draw_schedule"),
    params:
        **program("draw_schedule"),
        scores=scores_option,
        first_step=first_step,
        steps=round_steps,
    shell:
        command(
            "draw_schedule",
            "--problems {input.problems} {params.scores} --out {output.schedule}"
            " --first-step {params.first_step} --steps {params.steps} --seed {wildcards.seed}",
        )

# What scores would buy, without training: the target `counterfactual`, which nothing else needs. The policy that a round
# starts from answers every problem many times, and scores are replayed on the verdicts.


rule counterfactual_responses:
    input:
        **folder_input("model", policy),
        problems=f"{R}/data/problems.parquet",
        prompt=prompt_file("training"),
    output:
        rollouts=f"{REPLAYED}/rollouts/{{shard}}.parquet",
        record=run_record(
            "counterfactual_responses", "{model}/{run}/seed{seed}/round{r}/{shard}"
        ),
    conda:
        STACK
    threads: resource("generate", "threads")
    resources:
        **job_resources("generate"),
        **machine_of("counterfactual_responses"),
    params:
        **program("generate", of="counterfactual_responses"),
        shard=shard,
        prompt=prompt("training"),
        round=round_number,
        threads=resource("generate", "threads"),
    shell:
        command(
            "generate",
            "--model {input.model} --problems {input.problems} --out {output.rollouts}"
            " {params.prompt} --shard {params.shard}"
            " --seed {wildcards.seed} --purpose eval --round {params.round} --threads {params.threads}",
            launcher="{resources.starter}",
        )


rule counterfactual_verdicts:
    input:
        problems=f"{R}/data/problems.parquet",
        rollouts=replayed_rollouts,
    output:
        scores=f"{REPLAYED}/scores.parquet",
        rewards=f"{REPLAYED}/rewards.parquet",
        record=run_record(
            "counterfactual_verdicts", "{model}/{run}/seed{seed}/round{r}"
        ),
    threads: resource("score", "threads")
    resources:
        **job_resources("score"),
        **machine_of("counterfactual_verdicts"),
    params:
        **program("score_vps", of="counterfactual_verdicts"),
    shell:
        command(
            "score_vps",
            "--problems {input.problems} --rollouts {input.rollouts} --out {output.scores}"
            " --rewards {output.rewards}",
        )


rule replay_scores:
    input:
        problems=f"{R}/data/problems.parquet",
        truth=f"{REPLAYED}/rewards.parquet",
        scores=scores,
        training=rewards_before,
        passes=lambda wildcards: list(passes_before(wildcards).values()),
    output:
        weightings=f"{REPLAYED}/weightings.jsonl",
        record=run_record("replay_scores", "{model}/{run}/seed{seed}/round{r}"),
    resources:
        **job_resources("score"),
        **machine_of("counterfactual"),
    params:
        **program("counterfactual"),
        first_step=first_step,
        rollouts=training_rollouts,
        options=replay_options,
    shell:
        command(
            "counterfactual",
            "--problems {input.problems} --truth {input.truth} --out {output.weightings}"
            " --first-step {params.first_step} --rollouts {params.rollouts} {params.options}",
        )

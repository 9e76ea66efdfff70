# Variance-aware sampling: rollouts of every problem, scores from them, and the schedule drawn from the scores.


rule generate:
    input:
        model=policy,
        problems=sampled_problems,
        prompt=prompt_file("training"),
    output:
        rollouts=f"{ROUND}/rollouts/{{shard}}.parquet",
        record=run_record("generate", "{model}/{run}/seed{seed}/round{r}/{shard}"),
    log:
        **logs("generate", "{model}/{run}/seed{seed}/round{r}/{shard}"),
    conda:
        STACK
    threads: resource("generate", "threads")
    resources:
        **job_resources("generate"),
    params:
        shard=shard,
        n=setting("vas.samples"),
        temperature=setting("vas.temperature"),
        top_p=setting("vas.top_p"),
        max_tokens=setting("rollout.max_tokens"),
        max_prompt_tokens=setting("rollout.max_prompt_tokens"),
        engine=setting("rollout.engine"),
        batch_size=setting("rollout.batch_size"),
        prompt=prompt("training"),
        position=setting("prompts.position"),
        pixels=from_sections(bounds),
        tensor_parallel=setting("rollout.tensor_parallel"),
        round=round_number,
        threads=resource("generate", "threads"),
        code=code_digest("generate"),
    shell:
        "python scripts/generate.py --model {input.model} --problems {input.problems} --out {output.rollouts}"
        " --n {params.n} --temperature {params.temperature} --top-p {params.top_p} --max-tokens {params.max_tokens}"
        " --max-prompt-tokens {params.max_prompt_tokens} --engine {params.engine} --batch-size {params.batch_size}"
        " {params.prompt} --prompt-position {params.position} {params.pixels}"
        " --tensor-parallel {params.tensor_parallel} --shard {params.shard}"
        " --seed {wildcards.seed} --round {params.round} --threads {params.threads}"
        " --record {output.record} --attempt {log.attempt} > {log.text} 2>&1"


# Round 0 samples from the SFT checkpoint: all runs with the same sampling settings and seed share it.
use rule generate as generate_initial with:
    input:
        model=f"{R}/{{model}}/sft/checkpoint",
        problems=f"{R}/data/problems.parquet",
        prompt=prompt_file("training"),
    output:
        rollouts=f"{INITIAL}/rollouts/{{shard}}.parquet",
        record=run_record("generate_initial", "{model}/{sampling}/seed{seed}/{shard}"),
    log:
        **logs("generate_initial", "{model}/{sampling}/seed{seed}/{shard}"),


# `refresh: stale`: which problems' scores are old or uncertain, and are sampled again.
rule select_stale:
    input:
        problems=f"{R}/data/problems.parquet",
        scores=previous_scores,
    output:
        problems=f"{ROUND}/stale.parquet",
        record=run_record("select_stale", "{model}/{run}/seed{seed}/round{r}"),
    log:
        **logs("select_stale", "{model}/{run}/seed{seed}/round{r}"),
    conda:
        CPU
    resources:
        **job_resources("score"),
    params:
        first_step=first_step,
        share=setting("vas.stale_share"),
        half_life=setting("vas.stale_half_life"),
        code=code_digest("select_stale"),
    shell:
        "python scripts/select_stale.py --problems {input.problems} --scores {input.scores} --out {output.problems}"
        " --first-step {params.first_step} --share {params.share} --half-life {params.half_life}"
        " --record {output.record} --attempt {log.attempt} > {log.text} 2>&1"


rule score_vps:
    input:
        problems=f"{R}/data/problems.parquet",
        rollouts=rollouts,
        previous=previous_scores,
        verdicts=known_verdicts,
    output:
        scores=f"{ROUND}/scores.parquet",
        rewards=f"{ROUND}/rewards.parquet",
        record=run_record("score_vps", "{model}/{run}/seed{seed}/round{r}"),
    log:
        **logs("score_vps", "{model}/{run}/seed{seed}/round{r}"),
    conda:
        CPU
    threads: resource("score", "threads")
    resources:
        **job_resources("score"),
    params:
        outcome_weight=setting("vas.outcome_weight"),
        diversity_weight=setting("vas.diversity_weight"),
        diversity=setting("vas.diversity"),
        options=score_options,
        threads=resource("score", "threads"),
        code=code_digest("score_vps"),
    shell:
        "python scripts/score_vps.py --problems {input.problems} --rollouts {input.rollouts} --out {output.scores}"
        " --rewards {output.rewards} --outcome-weight {params.outcome_weight}"
        " --diversity-weight {params.diversity_weight} --diversity {params.diversity} {params.options}"
        " --workers {params.threads}"
        " --record {output.record} --attempt {log.attempt} > {log.text} 2>&1"


rule draw_schedule:
    input:
        problems=f"{R}/data/problems.parquet",
        scores=scores,
    output:
        schedule=f"{ROUND}/schedule.parquet",
        record=run_record("draw_schedule", "{model}/{run}/seed{seed}/round{r}"),
    log:
        **logs("draw_schedule", "{model}/{run}/seed{seed}/round{r}"),
    conda:
        CPU
    resources:
        **job_resources("score"),
    params:
        mix=setting("vas.mix"),
        scores=scores_option,
        batch_size=setting("schedule.batch_size"),
        draws=setting("schedule.draws"),
        longer=from_sections(queue_length),
        first_step=first_step,
        steps=round_steps,
        code=code_digest("draw_schedule"),
    shell:
        "python scripts/draw_schedule.py --problems {input.problems} {params.scores} --out {output.schedule}"
        " --mix {params.mix} --batch-size {params.batch_size} --draws {params.draws}"
        " --longer {params.longer}"
        " --first-step {params.first_step} --steps {params.steps} --seed {wildcards.seed}"
        " --record {output.record} --attempt {log.attempt} > {log.text} 2>&1"

# Data from the pool, by how hard it is for a model: the target `curate`, which nothing else needs.


rule curate_responses:
    input:
        **folder_input("model", lambda wildcards: CURATES[wildcards.model]),
        problems=f"{R}/data/problems.parquet",
        prompt=prompt_file("training"),
    output:
        rollouts=f"{CURATED}/rollouts/{{shard}}.parquet",
        record=run_record("curate_responses", "{model}/{shard}"),
    conda:
        STACK
    threads: resource("generate", "threads")
    resources:
        **job_resources("generate"),
        **machine_of("curate_responses"),
    params:
        **program("generate", of="curate_responses"),
        shard=shard,
        prompt=prompt("training"),
        seed=RECIPE.seed,
        threads=resource("generate", "threads"),
    shell:
        command(
            "generate",
            "--model {input.model} --problems {input.problems} --out {output.rollouts}"
            " {params.prompt} --shard {params.shard}"
            " --seed {params.seed} --round 0 --threads {params.threads}",
            launcher="{resources.starter}",
        )


rule curate_verdicts:
    input:
        problems=f"{R}/data/problems.parquet",
        rollouts=curation_rollouts,
    output:
        scores=f"{CURATED}/scores.parquet",
        rewards=f"{CURATED}/rewards.parquet",
        record=run_record("curate_verdicts", "{model}"),
    threads: resource("score", "threads")
    resources:
        **job_resources("score"),
        **machine_of("score_vps"),
    params:
        **program("score_vps"),
    shell:
        command(
            "score_vps",
            "--problems {input.problems} --rollouts {input.rollouts} --out {output.scores}"
            " --rewards {output.rewards}",
        )


rule curate_data:
    input:
        problems=f"{R}/data/problems.parquet",
        rollouts=curation_rollouts,
        rewards=f"{CURATED}/rewards.parquet",
    output:
        problems=f"{CURATED}/problems.parquet",
        sft=f"{CURATED}/sft.parquet",
        difficulty=f"{CURATED}/difficulty.parquet",
        record=run_record("curate_data", "{model}"),
    resources:
        **job_resources("data"),
        **machine_of("curate"),
    params:
        **program("curate"),
        seed=RECIPE.seed,
    shell:
        command(
            "curate",
            "--problems {input.problems} --rollouts {input.rollouts} --rewards {input.rewards} --seed {params.seed}"
            " --problems-out {output.problems} --sft-out {output.sft} --difficulty-out {output.difficulty}",
        )

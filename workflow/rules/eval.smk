# Every checkpoint on every benchmark.


rule generate_predictions:
    input:
        **folder_input("model", evaluated_checkpoint),
        problems=evaluated_problems,
        prompt=prompt_file("evaluation"),
    output:
        predictions=f"{EVAL}/predictions.parquet",
        record=run_record("generate_predictions", "{model}/{subject}/{benchmark}"),
    wildcard_constraints:
        subject=any_of(LOCAL_SUBJECTS),
    conda:
        STACK
    threads: resource("evaluate", "threads")
    resources:
        **job_resources("evaluate"),
        **machine_of("generate_predictions"),
    params:
        **program("generate", of="generate_predictions"),
        prompt=prompt("evaluation"),
        seed=RECIPE.seed,
        threads=resource("evaluate", "threads"),
    shell:
        command(
            "generate",
            "--model {input.model:q} --problems {input.problems:q} --out {output.predictions:q}"
            " {params.prompt}"
            " --seed {params.seed} --purpose eval --threads {params.threads}",
        )


# Endpoints are reached from where Snakemake runs; where one listens is no reason to ask again.
rule ask_endpoint:
    input:
        problems=evaluated_problems,
        prompt=prompt_file("evaluation"),
    output:
        predictions=f"{EVAL}/predictions.parquet",
        record=run_record("ask_endpoint", "{model}/{subject}/{benchmark}"),
    wildcard_constraints:
        subject=any_of(SERVED_SUBJECTS),
    localrule: True
    resources:
        **machine_of("ask_endpoint"),
        url=endpoint("url"),
    params:
        **program("ask_endpoint"),
        model=endpoint("model"),
        prompt=prompt("evaluation"),
        seed=RECIPE.seed,
        cache=f"{R}/work/ask_endpoint/{{model}}/{{subject}}/{{benchmark}}.jsonl",
    shell:
        command(
            "ask_endpoint",
            "--url {resources.url} --model {params.model} --problems {input.problems:q}"
            " --out {output.predictions:q} --cache {params.cache:q}"
            " {params.prompt} --seed {params.seed}",
        )


rule score_benchmark:
    input:
        problems=evaluated_problems,
        predictions=f"{EVAL}/predictions.parquet",
    output:
        scores=f"{EVAL}/scores.json",
        verdicts=f"{EVAL}/items.parquet",
        record=run_record("score_benchmark", "{model}/{subject}/{benchmark}"),
    threads: resource("score", "threads")
    resources:
        **job_resources("score"),
        **machine_of("score_benchmark"),
    params:
        **program("score_benchmark", plugins=benchmark_file),
        cache=f"{R}/work/judge/{{model}}/{{subject}}/{{benchmark}}.jsonl",
    shell:
        command(
            "score_benchmark",
            "--benchmark {wildcards.benchmark:q} --problems {input.problems:q}"
            " --predictions {input.predictions:q} --out {output.scores:q} --items {output.verdicts:q}"
            " --judge-cache {params.cache:q}",
        )

# Every checkpoint on every benchmark.


rule generate_predictions:
    input:
        model=evaluated_checkpoint,
        problems=evaluated_problems,
        prompt=prompt_file("evaluation"),
    output:
        predictions=f"{EVAL}/predictions.parquet",
        record=run_record("generate_predictions", "{model}/{subject}/{benchmark}"),
    log:
        **logs("generate_predictions", "{model}/{subject}/{benchmark}"),
    wildcard_constraints:
        subject=any_of(LOCAL_SUBJECTS),
    conda:
        STACK
    threads: resource("evaluate", "threads")
    resources:
        **job_resources("evaluate"),
    params:
        **program("generate"),
        n=setting("evaluation.n"),
        temperature=setting("evaluation.temperature"),
        top_p=setting("evaluation.top_p"),
        max_tokens=setting("evaluation.max_tokens"),
        max_prompt_tokens=setting("rollout.max_prompt_tokens"),
        engine=setting("rollout.engine"),
        batch_size=setting("rollout.batch_size"),
        prompt=prompt("evaluation"),
        position=setting("prompts.position"),
        pixels=from_sections(bounds),
        tensor_parallel=setting("rollout.tensor_parallel"),
        seed=RECIPE.seed,
        threads=resource("evaluate", "threads"),
    shell:
        command(
            "generate",
            "--model {input.model:q} --problems {input.problems:q} --out {output.predictions:q}"
            " --n {params.n} --temperature {params.temperature} --top-p {params.top_p} --max-tokens {params.max_tokens}"
            " --max-prompt-tokens {params.max_prompt_tokens} --engine {params.engine} --batch-size {params.batch_size}"
            " {params.prompt} --prompt-position {params.position} {params.pixels}"
            " --tensor-parallel {params.tensor_parallel}"
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
    log:
        **logs("ask_endpoint", "{model}/{subject}/{benchmark}"),
    wildcard_constraints:
        subject=any_of(SERVED_SUBJECTS),
    localrule: True
    conda:
        CPU
    resources:
        url=endpoint("url"),
    params:
        **program("ask_endpoint"),
        model=endpoint("model"),
        n=setting("evaluation.n"),
        temperature=setting("evaluation.temperature"),
        top_p=setting("evaluation.top_p"),
        max_tokens=setting("evaluation.max_tokens"),
        prompt=prompt("evaluation"),
        position=setting("prompts.position"),
        seed=RECIPE.seed,
        cache=f"{R}/work/ask_endpoint/{{model}}/{{subject}}/{{benchmark}}.jsonl",
    shell:
        command(
            "ask_endpoint",
            "--url {resources.url} --model {params.model} --problems {input.problems:q}"
            " --out {output.predictions:q} --cache {params.cache:q}"
            " --n {params.n} --temperature {params.temperature} --top-p {params.top_p} --max-tokens {params.max_tokens}"
            " {params.prompt} --prompt-position {params.position} --seed {params.seed}",
        )


rule score_benchmark:
    input:
        problems=evaluated_problems,
        predictions=f"{EVAL}/predictions.parquet",
    output:
        scores=f"{EVAL}/scores.json",
        verdicts=f"{EVAL}/items.parquet",
        record=run_record("score_benchmark", "{model}/{subject}/{benchmark}"),
    log:
        **logs("score_benchmark", "{model}/{subject}/{benchmark}"),
    conda:
        CPU
    threads: resource("score", "threads")
    resources:
        **job_resources("score"),
    params:
        **program("score_benchmark"),
        threads=resource("score", "threads"),
        judge=from_sections(judge),
        cache=f"{R}/work/judge/{{model}}/{{subject}}/{{benchmark}}.jsonl",
    shell:
        command(
            "score_benchmark",
            "--benchmark {wildcards.benchmark:q} --problems {input.problems:q}"
            " --predictions {input.predictions:q} --out {output.scores:q} --items {output.verdicts:q}"
            " --workers {params.threads} {params.judge} --judge-cache {params.cache:q}",
        )

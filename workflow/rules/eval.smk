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
            "--model {input.model} --problems {input.problems} --out {output.predictions}"
            " {params.prompt}"
            " --seed {params.seed} --purpose eval --threads {params.threads}",
            launcher="{resources.starter}",
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
            "--url {resources.url} --model {params.model} --problems {input.problems}"
            " --out {output.predictions} --cache {params.cache}"
            " {params.prompt} --seed {params.seed}",
        )


if JUDGE:

    rule select_undecided:
        input:
            problems=evaluated_problems,
            predictions=f"{EVAL}/predictions.parquet",
        output:
            questions=f"{EVAL}/undecided.parquet",
            record=run_record("select_undecided", "{model}/{subject}/{benchmark}"),
        conda:
            CPU
        threads: resource("score", "threads")
        resources:
            **job_resources("score"),
            **machine_of("select_undecided"),
        params:
            **program("select_undecided", plugins=benchmark_file),
        shell:
            command(
                "select_undecided",
                "--benchmark {wildcards.benchmark} --problems {input.problems}"
                " --predictions {input.predictions} --out {output.questions}",
            )


if JUDGE and not SERVED_JUDGE:

    rule judge:
        input:
            **folder_input("model", judge_model()),
            problems=f"{EVAL}/undecided.parquet",
        output:
            replies=f"{EVAL}/judge_replies.parquet",
            record=run_record("judge", "{model}/{subject}/{benchmark}"),
        conda:
            STACK
        threads: resource("judge", "threads")
        resources:
            **job_resources("judge"),
            **machine_of("judge"),
        params:
            **program("generate", of="judge", family=lambda sections: JUDGE.family),
            seed=RECIPE.seed,
            threads=resource("judge", "threads"),
        shell:
            command(
                "generate",
                "--model {input.model} --problems {input.problems} --out {output.replies}"
                " --seed {params.seed} --purpose eval --threads {params.threads}",
                launcher="{resources.starter}",
            )


if SERVED_JUDGE:

    rule ask_judge:
        input:
            problems=f"{EVAL}/undecided.parquet",
        output:
            replies=f"{EVAL}/judge_replies.parquet",
            record=run_record("ask_judge", "{model}/{subject}/{benchmark}"),
        localrule: True
        conda:
            CPU
        resources:
            **machine_of("ask_judge"),
            url=getattr(JUDGE, "url", None),
        params:
            **program("ask_endpoint", of="ask_judge"),
            model=getattr(JUDGE, "model", None),
            key=JUDGE_KEY,
            seed=RECIPE.seed,
            cache=f"{R}/work/ask_judge/{{model}}/{{subject}}/{{benchmark}}.jsonl",
        shell:
            command(
                "ask_endpoint",
                "--url {resources.url} --model {params.model} --key-variable {params.key}"
                " --problems {input.problems} --out {output.replies} --cache {params.cache}"
                " --seed {params.seed}",
            )


rule score_benchmark:
    input:
        problems=evaluated_problems,
        predictions=f"{EVAL}/predictions.parquet",
        replies=judge_replies,
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
        replies=judge_option,
    shell:
        command(
            "score_benchmark",
            "--benchmark {wildcards.benchmark} --problems {input.problems}"
            " --predictions {input.predictions} --out {output.scores} --items {output.verdicts}"
            " {params.replies}",
        )

# What is in the data: near-duplicates of the benchmarks' questions, which may be dropped, and the data card.


rule find_duplicates:
    input:
        tables=[made_table(name) for name in TRAINING_TABLES],
        benchmarks=[
            path for name in RECIPE.evaluation.benchmarks for path in bare(name)
        ],
    output:
        duplicates=f"{R}/data/duplicates.parquet",
        record=run_record("find_duplicates", "data"),
    resources:
        **job_resources("data"),
        **machine_of("find_duplicates"),
    params:
        **program("find_duplicates"),
    shell:
        command(
            "find_duplicates",
            "--tables {input.tables} --benchmarks {input.benchmarks}"
            " --out {output.duplicates}",
        )


rule drop_duplicates:
    input:
        table=f"{R}/data/whole/{{table}}.parquet",
        duplicates=f"{R}/data/duplicates.parquet",
    output:
        table=f"{R}/data/{{table}}.parquet",
        record=run_record("drop_duplicates", "{table}"),
    wildcard_constraints:
        table=any_of(TRAINING_TABLES if DROPS_DUPLICATES else []),
    resources:
        **job_resources("data"),
    params:
        **program("drop_duplicates"),
    shell:
        command(
            "drop_duplicates",
            "--table {input.table} --duplicates {input.duplicates} --out {output.table}",
        )


rule describe_data:
    input:
        **folder_input("processor", processor()),
        tables=[
            f"{R}/data/{name}.parquet"
            for name in RECIPE.tables()
            if name in SOURCE_TABLES
        ],
        rejects=[
            f"{R}/data/{name}_rejects.parquet"
            for name in TRAINING_TABLES
            if DATASETS or f"{name}_rejects" in SOURCE_TABLES
        ],
        duplicates=f"{R}/data/duplicates.parquet",
        prompt=prompt_file("training"),
    output:
        card=f"{R}/data/card.json",
        record=run_record("describe_data", "data"),
    resources:
        **job_resources("data"),
        **machine_of("describe_data"),
    params:
        **program("describe_data"),
        prompt=prompt("training"),
        seed=RECIPE.seed,
    shell:
        command(
            "describe_data",
            "--tables {input.tables} --rejects {input.rejects} --duplicates {input.duplicates}"
            " --processor {input.processor} {params.prompt} --seed {params.seed} --out {output.card}",
        )

# Problems and base models.


# What a source writes: the tables that the recipe asks it for. One with downloads has rules of its own.
if DATASETS:

    include: f"{RECIPE.data.source.name}.smk"

elif SOURCE_TABLES:

    rule prepare_data:
        input:
            **SOURCE_FILES,
        output:
            **SOURCE_TABLES,
            record=run_record("prepare_data", "data"),
        resources:
            **job_resources("data"),
            **machine_of("prepare_data"),
        params:
            **program("prepare_data"),
            tables=[
                word
                for name, path in SOURCE_TABLES.items()
                for word in optional(f"--{name.replace('_', '-')}", path)
            ],
            seed=RECIPE.seed,
        shell:
            command("prepare_data", "{params.tables} --seed {params.seed}")


rule build_tiny_model:
    output:
        **folder_output("model", f"{R}/{{model}}/base"),
        record=run_record("build_tiny_model", "{model}"),
    wildcard_constraints:
        model=any_of(TINY_MODELS),
    priority: TRAINING
    resources:
        **job_resources("data"),
    params:
        **program("build_tiny_model"),
        seed=RECIPE.seed,
        settings=tiny_settings,
    shell:
        command(
            "build_tiny_model",
            "--settings {params.settings} --out {output.model}"
            " --seed {params.seed}",
        )


# The hub is reached from where Snakemake runs, because a cluster's nodes often cannot: these rules are local. The target
# `downloads` makes all of it before anything is submitted.
rule download_model:
    output:
        **folder_output("model", f"{R}/{{place}}"),
        record=run_record("download_model", "{place}"),
    wildcard_constraints:
        place=any_of(HUB_MODELS),
    localrule: True
    resources:
        # A check of what came, which changes no byte of it.
        family=lambda wildcards: HUB_MODELS[wildcards.place].family.name,
    params:
        **program("download_hub"),
        hub=hub_model("hub"),
        revision=hub_model("revision"),
        work=f"{R}/work/download_model/{{place}}",
    shell:
        command(
            "download_hub",
            "--kind model --repository {params.hub} --revision {params.revision}"
            " --family {resources.family} --files '*.json' '*.safetensors' '*.txt' '*.jinja'"
            " --out {output.model} --work {params.work}",
        )


rule download_dataset:
    output:
        **folder_output("files", f"{R}/data/hub/{{dataset}}"),
        record=run_record("download_dataset", "{dataset}"),
    wildcard_constraints:
        dataset=any_of(DATASETS),
    localrule: True
    params:
        **program("download_hub"),
        hub=hub_data("hub"),
        revision=hub_data("revision"),
        patterns=hub_patterns,
        work=f"{R}/work/download_dataset/{{dataset}}",
    shell:
        command(
            "download_hub",
            "--kind dataset --repository {params.hub} --revision {params.revision}"
            " --files {params.patterns} --out {output.files} --work {params.work}",
        )


rule prepare_benchmark:
    output:
        problems=f"{R}/data/{{questions}}/{{benchmark}}.parquet",
        record=run_record("prepare_benchmark", "{questions}/{benchmark}"),
    wildcard_constraints:
        benchmark=any_of(HUB_BENCHMARKS),
        questions=any_of(QUESTIONS),
    localrule: True
    params:
        **program("prepare_benchmark", plugins=benchmark_file),
        prompt=lambda wildcards: QUESTIONS[wildcards.questions],
        limit=optional("--limit", RECIPE.evaluation_limit),
    shell:
        command(
            "prepare_benchmark",
            "--benchmark {wildcards.benchmark} --prompt {params.prompt} {params.limit}"
            " --out {output.problems}",
        )

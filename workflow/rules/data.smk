# Problems and base models.


if isinstance(RECIPE.data, DigitsData):

    rule prepare_digits:
        output:
            problems=f"{R}/data/problems.parquet",
            sft=f"{R}/data/sft.parquet",
            sft_validation=f"{R}/data/sft_validation.parquet",
            validation=f"{R}/data/validation.parquet",
            test=f"{R}/data/benchmarks/digits.parquet",
            record=run_record("prepare_digits", "data"),
        log:
            **logs("prepare_digits", "data"),
        conda:
            CPU
        resources:
            **job_resources("data"),
        params:
            **program("prepare_digits"),
            problems=RECIPE.data.digits.problems,
            sft=RECIPE.data.digits.sft,
            sft_validation=RECIPE.data.digits.sft_validation,
            validation=RECIPE.data.digits.validation,
            test=RECIPE.data.digits.test,
            seed=RECIPE.seed,
        shell:
            command(
                "prepare_digits",
                "--seed {params.seed}"
                " --problems {output.problems:q} --problems-size {params.problems}"
                " --sft {output.sft:q} --sft-size {params.sft}"
                " --sft-validation {output.sft_validation:q} --sft-validation-size {params.sft_validation}"
                " --validation {output.validation:q} --validation-size {params.validation}"
                " --test {output.test:q} --test-size {params.test}",
            )

else:

    rule prepare_mmr1:
        input:
            **folder_input("rl", f"{R}/data/hub/rl"),
            **folder_input("processor", f"{R}/{next(iter(RECIPE.models))}/base"),
            benchmark=f"{R}/data/benchmarks/{RECIPE.data.validation}.parquet",
            prompt=RECIPE.prompts.training or [],
        output:
            problems=f"{R}/data/problems.parquet",
            validation=f"{R}/data/validation.parquet",
            record=run_record("prepare_mmr1", "data"),
        log:
            **logs("prepare_mmr1", "data"),
        conda:
            CPU
        resources:
            **job_resources("data"),
        params:
            **program("prepare_mmr1"),
            rows=RECIPE.data.rl.rows,
            max_dropped=RECIPE.data.rl.max_dropped,
            prompt=optional("--system-prompt", RECIPE.prompts.training),
            position=RECIPE.prompts.position,
            max_prompt_tokens=RECIPE.grpo.max_prompt_tokens,
            min_pixels=optional("--min-pixels", RECIPE.grpo.min_pixels),
            max_pixels=optional("--max-pixels", RECIPE.grpo.max_pixels),
        shell:
            command(
                "prepare_mmr1",
                "--rl {input.rl:q} --rows {params.rows} --max-dropped {params.max_dropped}"
                " --processor {input.processor:q} {params.prompt} --prompt-position {params.position}"
                " {params.min_pixels} {params.max_pixels} --max-prompt-tokens {params.max_prompt_tokens}"
                " --benchmark {input.benchmark:q} --out {output.problems:q} --validation {output.validation:q}",
            )

    rule prepare_mmr1_sft:
        input:
            **folder_input("sft", f"{R}/data/hub/sft"),
        output:
            sft=f"{R}/data/sft.parquet",
            validation=f"{R}/data/sft_validation.parquet",
            record=run_record("prepare_mmr1_sft", "data"),
        log:
            **logs("prepare_mmr1_sft", "data"),
        conda:
            CPU
        resources:
            **job_resources("data"),
        params:
            **program("prepare_mmr1_sft"),
            rows=RECIPE.data.sft.rows,
            max_dropped=RECIPE.data.sft.max_dropped,
            validation=RECIPE.data.sft_validation,
            seed=RECIPE.seed,
        shell:
            command(
                "prepare_mmr1_sft",
                "--sft {input.sft:q} --rows {params.rows}"
                " --max-dropped {params.max_dropped} --validation-size {params.validation} --seed {params.seed}"
                " --out {output.sft:q} --validation {output.validation:q}",
            )


rule build_tiny_model:
    output:
        **folder_output("model", f"{R}/{{model}}/base"),
        record=run_record("build_tiny_model", "{model}"),
    log:
        **logs("build_tiny_model", "{model}"),
    wildcard_constraints:
        model=any_of(TINY_MODELS),
    conda:
        CPU
    resources:
        **job_resources("data"),
    params:
        **program("build_tiny_model"),
        seed=RECIPE.seed,
        settings=tiny_settings,
    shell:
        command(
            "build_tiny_model",
            "--settings {params.settings:q} --out {output.model:q}"
            " --seed {params.seed}",
        )


# The hub is reached from where Snakemake runs, for a cluster's nodes often cannot: these rules are local. The target
# `downloads` makes all of it before anything is submitted.
rule download_model:
    output:
        **folder_output("model", f"{R}/{{model}}/base"),
        record=run_record("download_model", "{model}"),
    log:
        **logs("download_model", "{model}"),
    wildcard_constraints:
        model=any_of(HUB_MODELS),
    localrule: True
    conda:
        CPU
    params:
        **program("download_hub"),
        hub=base_model("hub"),
        revision=base_model("revision"),
        work=f"{R}/work/download_model/{{model}}",
    shell:
        command(
            "download_hub",
            "--kind model --repository {params.hub:q} --revision {params.revision:q}"
            " --files '*.json' '*.safetensors' '*.txt' '*.jinja'"
            " --out {output.model:q} --work {params.work:q}",
        )


rule download_dataset:
    output:
        **folder_output("files", f"{R}/data/hub/{{dataset}}"),
        record=run_record("download_dataset", "{dataset}"),
    log:
        **logs("download_dataset", "{dataset}"),
    wildcard_constraints:
        dataset="rl|sft",
    localrule: True
    conda:
        CPU
    params:
        **program("download_hub"),
        hub=hub_data("hub"),
        revision=hub_data("revision"),
        patterns=lambda wildcards: {"rl": "'*.parquet'", "sft": "'*.json' '*.tar'"}[
            wildcards.dataset
        ],
        work=f"{R}/work/download_dataset/{{dataset}}",
    shell:
        command(
            "download_hub",
            "--kind dataset --repository {params.hub:q} --revision {params.revision:q}"
            " --files {params.patterns} --out {output.files:q} --work {params.work:q}",
        )


rule prepare_benchmark:
    output:
        problems=f"{R}/data/{{questions}}/{{benchmark}}.parquet",
        record=run_record("prepare_benchmark", "{questions}/{benchmark}"),
    log:
        **logs("prepare_benchmark", "{questions}/{benchmark}"),
    wildcard_constraints:
        benchmark=any_of(HUB_BENCHMARKS),
        questions=any_of(QUESTIONS),
    localrule: True
    conda:
        CPU
    params:
        **program("prepare_benchmark"),
        prompt=lambda wildcards: QUESTIONS[wildcards.questions],
    shell:
        command(
            "prepare_benchmark",
            "--benchmark {wildcards.benchmark:q} --prompt {params.prompt}"
            " --out {output.problems:q}",
        )

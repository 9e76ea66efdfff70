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
            problems=RECIPE.data.digits.problems,
            sft=RECIPE.data.digits.sft,
            sft_validation=RECIPE.data.digits.sft_validation,
            validation=RECIPE.data.digits.validation,
            test=RECIPE.data.digits.test,
            seed=RECIPE.seed,
            code=code_digest("prepare_digits"),
        shell:
            "python scripts/prepare_digits.py --seed {params.seed}"
            " --problems {output.problems} --problems-size {params.problems}"
            " --sft {output.sft} --sft-size {params.sft}"
            " --sft-validation {output.sft_validation} --sft-validation-size {params.sft_validation}"
            " --validation {output.validation} --validation-size {params.validation}"
            " --test {output.test} --test-size {params.test}"
            " --record {output.record} --attempt {log.attempt} > {log.text} 2>&1"

else:

    rule prepare_mmr1:
        input:
            rl=f"{R}/data/hub/rl",
            processor=f"{R}/{next(iter(RECIPE.models))}/base",
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
            rows=RECIPE.data.rl.rows,
            max_dropped=RECIPE.data.rl.max_dropped,
            prompt=optional("--system-prompt", RECIPE.prompts.training),
            position=RECIPE.prompts.position,
            max_prompt_tokens=RECIPE.grpo.max_prompt_tokens,
            min_pixels=optional("--min-pixels", RECIPE.grpo.min_pixels),
            max_pixels=optional("--max-pixels", RECIPE.grpo.max_pixels),
            code=code_digest("prepare_mmr1"),
        shell:
            "python scripts/prepare_mmr1.py --rl {input.rl} --rows {params.rows} --max-dropped {params.max_dropped}"
            " --processor {input.processor} {params.prompt} --prompt-position {params.position}"
            " {params.min_pixels} {params.max_pixels} --max-prompt-tokens {params.max_prompt_tokens}"
            " --benchmark {input.benchmark} --out {output.problems} --validation {output.validation}"
            " --record {output.record} --attempt {log.attempt} > {log.text} 2>&1"

    rule prepare_mmr1_sft:
        input:
            sft=f"{R}/data/hub/sft",
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
            rows=RECIPE.data.sft.rows,
            max_dropped=RECIPE.data.sft.max_dropped,
            validation=RECIPE.data.sft_validation,
            seed=RECIPE.seed,
            code=code_digest("prepare_mmr1_sft"),
        shell:
            "python scripts/prepare_mmr1_sft.py --sft {input.sft} --rows {params.rows}"
            " --max-dropped {params.max_dropped} --validation-size {params.validation} --seed {params.seed}"
            " --out {output.sft} --validation {output.validation}"
            " --record {output.record} --attempt {log.attempt} > {log.text} 2>&1"


rule write_settings:
    output:
        settings=f"{R}/{{model}}/settings/{{section}}.json",
        record=run_record("write_settings", "{model}/{section}"),
    log:
        **logs("write_settings", "{model}/{section}"),
    localrule: True
    conda:
        CPU
    params:
        values=model_settings,
        code=code_digest("write_settings"),
    shell:
        "python scripts/write_settings.py --values {params.values:q} --out {output.settings}"
        " --record {output.record} --attempt {log.attempt} > {log.text} 2>&1"


rule build_tiny_model:
    input:
        settings=f"{R}/{{model}}/settings/base.json",
    output:
        model=directory(f"{R}/{{model}}/base"),
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
        seed=RECIPE.seed,
        code=code_digest("build_tiny_model"),
    shell:
        "python scripts/build_tiny_model.py --settings {input.settings} --out {output.model}"
        " --seed {params.seed}"
        " --record {output.record} --attempt {log.attempt} > {log.text} 2>&1"


# The hub is reached from where Snakemake runs, for a cluster's nodes often cannot: these rules are local. The target
# `downloads` makes all of it before anything is submitted.
rule download_model:
    output:
        model=directory(f"{R}/{{model}}/base"),
        record=run_record("download_model", "{model}"),
    log:
        **logs("download_model", "{model}"),
    wildcard_constraints:
        model=any_of(HUB_MODELS),
    localrule: True
    conda:
        CPU
    params:
        hub=base_model("hub"),
        revision=base_model("revision"),
        work=f"{R}/work/download_model/{{model}}",
        code=code_digest("download_hub"),
    shell:
        "python scripts/download_hub.py --kind model --repository {params.hub} --revision {params.revision}"
        " --files '*.json' '*.safetensors' '*.txt' '*.jinja'"
        " --out {output.model} --work {params.work}"
        " --record {output.record} --attempt {log.attempt} > {log.text} 2>&1"


rule download_dataset:
    output:
        files=directory(f"{R}/data/hub/{{dataset}}"),
        record=run_record("download_dataset", "{dataset}"),
    log:
        **logs("download_dataset", "{dataset}"),
    wildcard_constraints:
        dataset="rl|sft",
    localrule: True
    conda:
        CPU
    params:
        hub=hub_data("hub"),
        revision=hub_data("revision"),
        patterns=lambda wildcards: {"rl": "'*.parquet'", "sft": "'*.json' '*.tar'"}[
            wildcards.dataset
        ],
        work=f"{R}/work/download_dataset/{{dataset}}",
        code=code_digest("download_hub"),
    shell:
        "python scripts/download_hub.py --kind dataset --repository {params.hub} --revision {params.revision}"
        " --files {params.patterns} --out {output.files} --work {params.work}"
        " --record {output.record} --attempt {log.attempt} > {log.text} 2>&1"


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
        prompt=lambda wildcards: QUESTIONS[wildcards.questions],
        code=code_digest("prepare_benchmark"),
    shell:
        "python scripts/prepare_benchmark.py --benchmark {wildcards.benchmark} --prompt {params.prompt}"
        " --out {output.problems}"
        " --record {output.record} --attempt {log.attempt} > {log.text} 2>&1"

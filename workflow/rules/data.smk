# Problems and base models.


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
    params:
        problems=digits_size("problems"),
        sft=digits_size("sft"),
        sft_validation=digits_size("sft_validation"),
        validation=digits_size("validation"),
        test=digits_size("test"),
        seed=RECIPE.seed,
        code=code_digest("prepare_digits"),
    resources:
        **job_resources("data"),
    conda:
        CPU
    shell:
        "python scripts/prepare_digits.py --seed {params.seed}"
        " --problems {output.problems} --problems-size {params.problems}"
        " --sft {output.sft} --sft-size {params.sft}"
        " --sft-validation {output.sft_validation} --sft-validation-size {params.sft_validation}"
        " --validation {output.validation} --validation-size {params.validation}"
        " --test {output.test} --test-size {params.test}" + RECORDED


rule write_settings:
    output:
        settings=f"{R}/{{model}}/settings/{{section}}.json",
        record=run_record("write_settings", "{model}/{section}"),
    log:
        **logs("write_settings", "{model}/{section}"),
    params:
        values=model_settings,
        code=code_digest("write_settings"),
    localrule: True
    conda:
        CPU
    shell:
        "python scripts/write_settings.py --values {params.values:q} --out {output.settings}" + RECORDED


rule build_tiny_model:
    input:
        settings=f"{R}/{{model}}/settings/base.json",
    output:
        model=directory(f"{R}/{{model}}/base"),
        record=run_record("build_tiny_model", "{model}"),
    log:
        **logs("build_tiny_model", "{model}"),
    params:
        seed=RECIPE.seed,
        code=code_digest("build_tiny_model"),
    resources:
        **job_resources("data"),
    conda:
        CPU
    shell:
        "python scripts/build_tiny_model.py --settings {input.settings} --out {output.model}"
        " --seed {params.seed}" + RECORDED

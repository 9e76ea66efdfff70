# The paper's data sets, as downloaded: problems for RL and conversations for SFT.

MMR1 = RECIPE.data.source
SETTINGS |= {
    "prepare_mmr1": lambda sections: taken(
        MMR1.module.RLPreparation,
        MMR1.settings.rl,
        RECIPE.grpo,
        limit=RECIPE.data_limit,
    ),
    "prepare_mmr1_sft": lambda sections: taken(
        MMR1.module.SFTPreparation,
        MMR1.settings.sft,
        validation_size=MMR1.settings.sft_validation,
        limit=RECIPE.data_limit,
        machine={"workers": RECIPE.stage_resources("data").threads},
    ),
}


rule prepare_mmr1:
    input:
        **folder_input("rl", f"{R}/data/hub/rl"),
        **folder_input("processor", processor()),
        benchmark=f"{R}/data/benchmarks/{MMR1.settings.validation}.parquet",
        prompt=prompt_file("training"),
    output:
        problems=made_table("problems"),
        validation=f"{R}/data/validation.parquet",
        rejects=f"{R}/data/problems_rejects.parquet",
        record=run_record("prepare_mmr1", "data"),
    resources:
        **job_resources("data"),
        **machine_of("prepare_mmr1"),
    params:
        **program("prepare_mmr1"),
        prompt=prompt("training"),
    shell:
        command(
            "prepare_mmr1",
            "--rl {input.rl} --processor {input.processor} {params.prompt} --benchmark {input.benchmark}"
            " --out {output.problems} --validation {output.validation} --rejects {output.rejects}",
        )


rule prepare_mmr1_sft:
    input:
        **folder_input("sft", f"{R}/data/hub/sft"),
    output:
        sft=made_table("sft"),
        validation=f"{R}/data/sft_validation.parquet",
        rejects=f"{R}/data/sft_rejects.parquet",
        record=run_record("prepare_mmr1_sft", "data"),
    resources:
        **job_resources("data"),
        **machine_of("prepare_mmr1_sft"),
    params:
        **program("prepare_mmr1_sft"),
        seed=RECIPE.seed,
    shell:
        command(
            "prepare_mmr1_sft",
            "--sft {input.sft} --seed {params.seed}"
            " --out {output.sft} --validation {output.validation} --rejects {output.rejects}",
        )

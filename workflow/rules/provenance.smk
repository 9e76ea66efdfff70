# The records, shown in MLflow by one process on the submit host.


rule export_mlflow:
    input:
        report=f"{R}/report.html",
    output:
        runs=f"{R}/mlflow_runs.json",
        record=run_record("export_mlflow", "all"),
    log:
        **logs("export_mlflow", "all"),
    localrule: True
    conda:
        DRIVER
    params:
        **program("export_mlflow"),
        python=DRIVER_PYTHON,
        results=folder_of_output,
        uri=TRACKING_URI,
        artifacts=optional("--artifacts", ARTIFACTS),
    shell:
        command(
            "export_mlflow",
            "--results {params.results:q}"
            " --tracking-uri {params.uri:q} {params.artifacts} --out {output.runs:q}",
            launcher="{params.python}",
        )

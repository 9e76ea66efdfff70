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
        python=DRIVER_PYTHON,
        results=folder_of_output,
        uri=TRACKING_URI,
        artifacts=optional("--artifacts", ARTIFACTS),
        code=code_digest("export_mlflow"),
    shell:
        "{params.python} scripts/export_mlflow.py --results {params.results}"
        " --tracking-uri {params.uri} {params.artifacts} --out {output.runs}"
        " --record {output.record} --attempt {log.attempt} > {log.text} 2>&1"

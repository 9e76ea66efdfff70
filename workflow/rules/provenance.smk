# The records, shown in MLflow by one process on the submit host.


rule export_mlflow:
    input:
        report=f"{R}/report.html",
    output:
        runs=f"{R}/mlflow_runs.json",
        record=run_record("export_mlflow", "all"),
    localrule: True
    conda:
        DRIVER
    # Where the checkout lies is no reason to show everything again; another server is one.
    resources:
        python=DRIVER_PYTHON,
        uri=TRACKING_URI,
    params:
        **program("export_mlflow"),
        server=RECIPE.mlflow,
        results=folder_of_output,
    shell:
        command(
            "export_mlflow",
            "--results {params.results}"
            " --tracking-uri {resources.uri} --out {output.runs}",
            launcher="{resources.python}",
        )


# Of everything that is there, whatever is due. It makes nothing, and is asked for by its name.
rule audit:
    log:
        f"{R}/work/audit.log",
    localrule: True
    conda:
        DRIVER
    resources:
        python=DRIVER_PYTHON,
    params:
        results=R,
    shell:
        quoted(
            "{resources.python} scripts/audit.py --full {params.results} | tee {log}"
        )

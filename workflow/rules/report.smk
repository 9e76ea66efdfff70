# Figures and the report, from an index of what there is.


rule write_report_index:
    output:
        index=f"{R}/report_index.json",
        record=run_record("write_report_index", "report"),
    log:
        **logs("write_report_index", "report"),
    params:
        values=report_index,
        code=code_digest("write_settings"),
    localrule: True
    conda:
        CPU
    shell:
        "python scripts/write_settings.py --values {params.values:q} --out {output.index}" + RECORDED


rule make_report:
    input:
        index=f"{R}/report_index.json",
        files=report_files,
    output:
        report=f"{R}/report.html",
        figures=directory(f"{R}/figures"),
        record=run_record("make_report", "report"),
    log:
        **logs("make_report", "report"),
    params:
        code=code_digest("make_report"),
    resources:
        **job_resources("report"),
    conda:
        CPU
    shell:
        "python scripts/make_report.py --index {input.index} --out {output.report}"
        " --figures {output.figures}" + RECORDED

# Tables, figures and the report, from an index of what there is.


rule write_tables_index:
    output:
        index=f"{R}/tables/index.json",
        record=run_record("write_tables_index", "tables"),
    log:
        **logs("write_tables_index", "tables"),
    localrule: True
    conda:
        CPU
    params:
        values=tables_index,
        code=code_digest("write_settings"),
    shell:
        "python scripts/write_settings.py --values {params.values:q} --out {output.index}"
        " --record {output.record} --attempt {log.attempt} > {log.text} 2>&1"


rule make_tables:
    input:
        index=f"{R}/tables/index.json",
        scores=all_scores,
        paper="config/paper_tables.csv",
    output:
        markdown=f"{R}/tables/{{table}}.md",
        csv=f"{R}/tables/{{table}}.csv",
        latex=f"{R}/tables/{{table}}.tex",
        html=f"{R}/tables/{{table}}.html",
        record=run_record("make_tables", "{table}"),
    log:
        **logs("make_tables", "{table}"),
    localrule: True
    conda:
        CPU
    params:
        code=code_digest("make_tables"),
    shell:
        "python scripts/make_tables.py --index {input.index} --table {wildcards.table} --paper {input.paper}"
        " --markdown {output.markdown} --csv {output.csv} --latex {output.latex} --html {output.html}"
        " --record {output.record} --attempt {log.attempt} > {log.text} 2>&1"


rule write_report_index:
    output:
        index=f"{R}/report_index.json",
        record=run_record("write_report_index", "report"),
    log:
        **logs("write_report_index", "report"),
    localrule: True
    conda:
        CPU
    params:
        values=report_index,
        code=code_digest("write_settings"),
    shell:
        "python scripts/write_settings.py --values {params.values:q} --out {output.index}"
        " --record {output.record} --attempt {log.attempt} > {log.text} 2>&1"


rule make_report:
    input:
        index=f"{R}/report_index.json",
        files=report_files,
        template="scripts/mmr1/report/page.html",
    output:
        report=f"{R}/report.html",
        figures=directory(f"{R}/figures"),
        record=run_record("make_report", "report"),
    log:
        **logs("make_report", "report"),
    conda:
        CPU
    resources:
        **job_resources("report"),
    params:
        code=code_digest("make_report"),
    shell:
        "python scripts/make_report.py --index {input.index} --out {output.report}"
        " --figures {output.figures}"
        " --record {output.record} --attempt {log.attempt} > {log.text} 2>&1"

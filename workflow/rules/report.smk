# Tables, figures and the report, from an index of what there is.


rule write_tables_index:
    output:
        index=f"{R}/tables/index.json",
        record=run_record("write_tables_index", "tables"),
    localrule: True
    params:
        **program("write_settings"),
        values=tables_index,
    shell:
        command(
            "write_settings",
            "--values {params.values:q} --out {output.index:q}",
        )


rule make_tables:
    input:
        index=f"{R}/tables/index.json",
        scores=all_scores,
        verdicts=evaluated("items.parquet"),
        problems=[benchmark_problems(name) for name in RECIPE.evaluation.benchmarks],
        paper="config/paper_tables.csv",
    output:
        markdown=f"{R}/tables/{{table}}.md",
        csv=f"{R}/tables/{{table}}.csv",
        latex=f"{R}/tables/{{table}}.tex",
        html=f"{R}/tables/{{table}}.html",
        record=run_record("make_tables", "{table}"),
    localrule: True
    params:
        **program("make_tables"),
    shell:
        command(
            "make_tables",
            "--index {input.index:q} --table {wildcards.table:q} --paper {input.paper:q}"
            " --markdown {output.markdown:q} --csv {output.csv:q} --latex {output.latex:q} --html {output.html:q}",
        )


rule write_report_index:
    output:
        index=f"{R}/report_index.json",
        record=run_record("write_report_index", "report"),
    localrule: True
    params:
        **program("write_settings"),
        values=report_index,
    shell:
        command(
            "write_settings",
            "--values {params.values:q} --out {output.index:q}",
        )


rule make_report:
    input:
        index=f"{R}/report_index.json",
        files=report_files,
        template="scripts/mmr1/report/page.html",
    output:
        **folder_output("figures", f"{R}/figures"),
        report=f"{R}/report.html",
        record=run_record("make_report", "report"),
    resources:
        **job_resources("report"),
    params:
        **program("make_report"),
    shell:
        command(
            "make_report",
            "--index {input.index:q} --out {output.report:q}"
            " --figures {output.figures:q}",
        )

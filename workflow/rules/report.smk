# Tables, figures and the report, from an index of what there is: the settings of these jobs.


rule make_tables:
    input:
        scores=table_files("scores.json"),
        verdicts=table_files("items.parquet"),
        problems=[benchmark_problems(name) for name in RECIPE.evaluation.benchmarks],
        paper="config/paper_tables.csv",
    output:
        markdown=f"{R}/tables/{{table}}.md",
        csv=f"{R}/tables/{{table}}.csv",
        latex=f"{R}/tables/{{table}}.tex",
        html=report(
            f"{R}/tables/{{table}}.html",
            caption="../report/table.rst",
            category="Tables",
        ),
        record=run_record("make_tables", "{table}"),
    localrule: True
    params:
        **program("make_tables"),
        settings=tables_index,
    shell:
        command(
            "make_tables",
            "--index - --table {wildcards.table} --paper {input.paper}"
            " --markdown {output.markdown} --csv {output.csv} --latex {output.latex} --html {output.html}",
        )


rule make_figures:
    input:
        files=figure_files,
    output:
        svg=report(
            f"{R}/paper_figures/{{figure}}.svg",
            caption="../report/paper_figure.rst",
            category="The paper's figures",
        ),
        png=f"{R}/paper_figures/{{figure}}.png",
        csv=f"{R}/paper_figures/{{figure}}.csv",
        record=run_record("make_figures", "{figure}"),
    localrule: True
    params:
        **program("make_figures"),
        settings=figure_index,
    shell:
        command(
            "make_figures",
            "--index - --figure {wildcards.figure}"
            " --svg {output.svg} --png {output.png} --csv {output.csv}",
        )


rule make_report:
    input:
        files=report_files,
        template="scripts/mmr1/report/page.html",
    output:
        **folder_output(
            "figures",
            f"{R}/figures",
            lambda folder: report(
                folder,
                patterns=["{name}.svg"],
                caption="../report/figure.rst",
                category="Figures",
            ),
        ),
        report=report(
            f"{R}/report.html", caption="../report/page.rst", category="Report"
        ),
        record=run_record("make_report", "report"),
    resources:
        **job_resources("report"),
    params:
        **program("make_report"),
        settings=report_index,
    shell:
        command(
            "make_report",
            "--index - --out {output.report} --figures {output.figures}",
        )

"""Make a table of accuracies: Table 2, 3 or 4 beside the paper's, or our rows alone.

    python scripts/make_tables.py --index tables.json --table 2 --markdown table2.md --csv table2.csv \\
        --latex table2.tex --html table2.html

The index is JSON: {"evaluations": [{"model": "7b", "subject": "vas", "seed": 1, "benchmark": "mathvista",
"scores": "…/scores.json", "checkpoint": "…"}, …], "settings": {"prompt": "…", "temperature": 0}, "labels": {…}}.
`subject` is base, sft or the name of a run; several seeds of one make one row.
"""

import argparse
from pathlib import Path

from mmr1.plumbing.errors import run
from mmr1.plumbing.files import atomic
from mmr1.plumbing.progress import log
from mmr1.plumbing.record import add_job_arguments, job
from mmr1.plumbing.settings import read_settings
from mmr1.report.printed_tables import make, read_paper
from mmr1.report.table_formats import comma_separated, html_fragment, latex, markdown
from mmr1.report.tables_index import Index

PAPER = Path(__file__).parent.parent / "config" / "paper_tables.csv"


def main() -> None:
    args = parse_arguments()
    index = read_settings(args.index, Index)
    inputs = {
        "paper": args.paper,
        "scores": [one.scores for one in index.evaluations],
        "items": [one.items for one in index.evaluations if one.items is not None],
        "problems": list(index.benchmarks.values()),
    }
    formats = {"markdown": markdown, "csv": comma_separated, "latex": latex, "html": html_fragment}
    outputs = {name: getattr(args, name) for name in formats}
    with job(args, inputs=inputs, outputs=outputs, settings=index) as work:
        table = make(args.table, index, read_paper(args.paper))
        for name, rendered in formats.items():
            if outputs[name]:
                with atomic(outputs[name]) as temporary:
                    temporary.write_text(rendered(table))
        work.metrics["rows"] = float(len(table.rows))
        log(f"table {args.table}: {len(table.rows)} rows")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--index", type=Path, required=True, help="JSON: which scores make which row; - reads it from here"
    )
    parser.add_argument("--table", choices=("accuracy", "2", "3", "4"), required=True)
    parser.add_argument(
        "--paper", type=Path, default=PAPER, help="the paper's numbers (default: config/paper_tables.csv)"
    )
    for name in ("markdown", "csv", "latex", "html"):
        parser.add_argument(f"--{name}", type=Path, help=f"write the table as {name} here")
    add_job_arguments(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)

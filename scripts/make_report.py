"""Make the report: one HTML file with accuracies, curves, scores, samples, tables and costs, and its figures.

What it is made from stands in an index, which the workflow hands over (mmr1.report.index says what it holds).
"""

import argparse
from os.path import relpath
from pathlib import Path

from mmr1.plumbing.errors import run
from mmr1.plumbing.files import atomic
from mmr1.plumbing.progress import log
from mmr1.plumbing.record import Paths, add_job_arguments, job
from mmr1.provenance.ledger import read_records
from mmr1.report.index import read_index
from mmr1.report.page import TEMPLATE, build


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--index", type=Path, required=True, help="JSON: the files that the report shows; - reads it from here"
    )
    parser.add_argument("--out", type=Path, required=True, help="report.html")
    parser.add_argument("--figures", type=Path, required=True, help="folder for the figures as SVG and PNG")
    add_job_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    index = read_index(args.index)
    inputs: dict[str, Paths] = {"files": index.files(), "template": relpath(TEMPLATE)}
    outputs = {"out": args.out, "figures": args.figures}
    with job(args, inputs=inputs, outputs=outputs, settings=index, unrepeated=["out", "figures"]) as work:
        html, figures = build(index, read_records(index.results), work.changed_inputs)
        with atomic(args.figures) as folder:
            folder.mkdir()
            for name, drawing in figures.items():
                (folder / f"{name}.svg").write_text(drawing.svg, encoding="utf-8")
                (folder / f"{name}.png").write_bytes(drawing.png())
        with atomic(args.out) as temporary:
            temporary.write_text(html, encoding="utf-8")
    log(f"{args.out}: {len(figures)} figures, {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    run(main)

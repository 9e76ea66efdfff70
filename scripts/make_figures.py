"""Draw Figure 2 or 3 of the paper from our runs: SVG, PNG, and the numbers behind it as CSV.

    python scripts/make_figures.py --index index.json --figure 2 --svg 2.svg --png 2.png --csv 2.csv

The index names the files of the trainings that belong in the figure (`FigureIndex`).
"""

import argparse
import csv
from pathlib import Path

from mmr1.plumbing.errors import run
from mmr1.plumbing.files import atomic
from mmr1.plumbing.progress import log
from mmr1.plumbing.record import add_job_arguments, job
from mmr1.plumbing.settings import read_settings
from mmr1.report.figures_index import FigureIndex
from mmr1.report.printed_figures import make


def main() -> None:
    args = parse_arguments()
    index = read_settings(args.index, FigureIndex)
    rounds = [one for training in index.trainings for one in training.rounds]
    read = ("metrics", "validation") if args.figure == "2" else ("scores",)
    files = [path for one in rounds for name in read if (path := getattr(one, name)) is not None]
    outputs = {"svg": args.svg, "png": args.png, "csv": args.csv}
    with job(args, inputs={"files": files}, outputs=outputs, settings=index) as work:
        figure = make(args.figure, index)
        with atomic(args.svg) as path:
            path.write_text(figure.drawing.svg)
        with atomic(args.png) as path:
            path.write_bytes(figure.drawing.png())
        with atomic(args.csv) as path, path.open("w", newline="") as file:
            writer = csv.DictWriter(file, figure.rows[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(figure.rows)
        work.metrics["rows"] = float(len(figure.rows))
        log(f"figure {args.figure}: {len(figure.rows)} numbers")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, required=True, help="JSON: the trainings; - reads it from here")
    parser.add_argument("--figure", choices=("2", "3"), required=True)
    for name in ("svg", "png", "csv"):
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"write it as {name} here")
    add_job_arguments(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)

"""Show a results folder in MLflow: every record a run, with parameters, curves, hashes, lineage and artifacts.

Idempotent: what is there is found by its record's digest, so a second export creates nothing. Runs in the driver's
environment. Passwords come from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, never from the URI.
"""

import argparse
import os
from pathlib import Path

from mmr1.plumbing.errors import run
from mmr1.plumbing.files import write_json
from mmr1.plumbing.record import add_job_arguments, job
from mmr1.plumbing.secrets import check_url
from mmr1.provenance.tracking.export import export, exportable
from mmr1.provenance.tracking.store import store_at, written_uri

# "anew" deletes what MLflow shows of these results first: after somebody changed it there.
VARIABLE = "MMR1_MLFLOW"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, required=True, help="results/<recipe>, with records/ and logs/")
    parser.add_argument("--tracking-uri", required=True, help="sqlite:///ABSOLUTE/mlflow.db or http://host:port")
    parser.add_argument("--out", type=Path, required=True, help="JSON: MLflow run ids by record digest")
    add_job_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    tracking_uri = vars(args).pop("tracking_uri")  # where it is shown is no part of what is computed
    check_url("--tracking-uri", tracking_uri, "$MLFLOW_TRACKING_USERNAME and $MLFLOW_TRACKING_PASSWORD, or _TOKEN")
    records = [record.path for record in exportable(args.results)]
    with job(args, inputs={"records": records}, outputs={"out": args.out}, unrepeated=["out"]) as work:
        exported = export(args.results, tracking_uri, anew=os.environ.get(VARIABLE) == "anew")
        work.notes["tracking_uri"] = tracking_uri
        work.metrics["created"] = exported.created
        shown_at = written_uri(store_at(tracking_uri, args.results))
        write_json(args.out, {"tracking_uri": shown_at, **vars(exported)})
    print(f"MLflow: {len(exported.records)} records, {exported.created} new runs, in {tracking_uri}")


if __name__ == "__main__":
    run(main)

"""Write a table without the rows that are a benchmark's: text and images alike, or the text of one without images.

`find_duplicates.py` lists them.
"""

import argparse
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mmr1.data import contracts
from mmr1.data.conversations import CONVERSATIONS
from mmr1.data.near_duplicates import DUPLICATES, SAME
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.progress import log
from mmr1.plumbing.record import add_job_arguments, job


def main() -> None:
    args = parse_arguments()
    inputs = {"table": args.table, "duplicates": args.duplicates}
    with job(args, inputs=inputs, outputs={"out": args.out}) as work:
        listed = contracts.read(args.duplicates, DUPLICATES).to_pylist()
        same = {row["id"] for row in listed if row["table"] == args.table.stem and row["kind"] == SAME}
        with_responses = "response" in contracts.open_any(args.table).schema_arrow.names
        schema = CONVERSATIONS if with_responses else contracts.PROBLEMS
        kept = 0
        with contracts.writer(args.out, schema, statistics=not with_responses) as out:
            for rows in contracts.iter_row_groups(args.table, schema):
                left = rows.filter(pc.invert(pc.is_in(rows.column("id"), pa.array(sorted(same), pa.string()))))
                if len(left):
                    out.write_table(left)
                kept += len(left)
            if not kept:
                raise UserError(f"{args.table}: nothing is left: all of its rows are a benchmark's")
        work.metrics |= {"kept": float(kept), "near_duplicates_dropped": float(len(same))}
        log(f"{args.table}: {len(same)} near-duplicates dropped, {kept} rows kept")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--table", type=Path, required=True, help="problems or conversations, Parquet")
    add("--duplicates", type=Path, required=True, help="the table that find_duplicates.py wrote")
    add("--out", type=Path, required=True, help="the table without them, to write")
    add_job_arguments(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)

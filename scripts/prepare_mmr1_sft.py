"""Make the cold start's conversations from `MMR1/MMR1-SFT` as downloaded: a JSON list and tars of images.

Both are streamed, so that memory stays flat but for the tars' index (about 300 bytes an image). The held-out
conversations are drawn by the seed over the rows that the data set must have.
"""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path

from mmr1.data.conversations import conversation_writer
from mmr1.data.problems import Problem
from mmr1.data.sources.mmr1_rl import BrokenRow, Dropped
from mmr1.data.sources.mmr1_sft import (
    ITEMS_TO_LEARN_FROM,
    ImageStore,
    conversation,
    conversation_file,
    image_key,
    iter_items,
)
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.progress import log, track
from mmr1.plumbing.record import add_job_arguments, job
from mmr1.seeds import generator

Row = tuple[int, Problem, str]


def main() -> None:
    args = parse_arguments()
    if not 0 < args.validation_size < args.rows:
        raise UserError(f"--validation-size: expected 1 to {args.rows - 1}, found {args.validation_size}")
    with job(args, inputs={"sft": args.sft}, outputs={"out": args.out, "validation": args.validation}) as work:
        draw = generator(args.seed, "sft_validation").choice(args.rows, args.validation_size, replace=False)
        held_out = {int(number) for number in draw}
        dropped = Dropped(args.max_dropped)
        counts = {"out": 0, "validation": 0}
        with ExitStack() as stack:
            add = {name: stack.enter_context(conversation_writer(getattr(args, name))) for name in counts}
            for number, problem, response in rows(args, dropped):
                name = "validation" if number in held_out else "out"
                add[name](problem, response)
                counts[name] += 1
            if 0 in counts.values():
                raise UserError(f"{args.sft}: nothing is left of {' and '.join(n for n, c in counts.items() if not c)}")
        work.metrics |= {"conversations": counts["out"], "held_out": counts["validation"], "dropped": len(dropped.rows)}
        work.notes["dropped"] = dropped.rows


def rows(args: argparse.Namespace, dropped: Dropped) -> Iterator[Row]:
    """Every usable conversation with its number. Raises UserError if the data set has another number of rows."""
    path = conversation_file(args.sft)
    log(f"indexing the tars of {args.sft}")
    number = -1
    with closing(ImageStore(args.sft)) as images:
        key = image_key(path, islice(iter_items(path), ITEMS_TO_LEARN_FROM), images)
        log(f"{len(images)} files in {len(images.tars)} tars; images are named by {key}")
        for number, item in enumerate(track(iter_items(path), "conversations", args.rows)):
            try:
                problem, response = conversation(number, item, key, images)
            except BrokenRow as reason:
                dropped.add(number, f"{path}: item {number}", str(reason))
            else:
                yield number, problem, response
    if number + 1 != args.rows:
        raise UserError(f"{path}: expected {args.rows} items, found {number + 1}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--sft", type=Path, required=True, help="folder with the JSON list and the tars")
    add("--rows", type=int, required=True, help="how many conversations it must have")
    add("--max-dropped", type=int, default=0, help="how many of them may be broken (default: 0)")
    add("--validation-size", type=int, required=True, help="how many to hold out")
    add("--seed", type=int, default=0)
    add("--out", type=Path, required=True, help="conversations to write, Parquet")
    add("--validation", type=Path, required=True, help="held-out conversations to write, Parquet")
    add_job_arguments(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)

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
from mmr1.data.mmr1_sft import (
    ITEMS_TO_LEARN_FROM,
    ImageStore,
    conversation,
    conversation_file,
    image_key,
    iter_items,
)
from mmr1.data.problems import Problem
from mmr1.data.rows import BrokenRow, Dropped
from mmr1.data.sources.mmr1 import SFTPreparation
from mmr1.plumbing.disk import check_room
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.progress import log, track
from mmr1.plumbing.record import add_job_arguments, job
from mmr1.seeds import generator

Row = tuple[int, Problem, str]

COPIED = 0.5  # of the bytes in the tars, at least: not every image need be one of a conversation


def main() -> None:
    args = parse_arguments()
    settings = settings_of(args, SFTPreparation)
    total, held_out = taken(settings)
    if held_out >= total:
        raise UserError(f"validation_size: expected 1 to {total - 1}, found {held_out}")
    outputs = {"out": args.out, "validation": args.validation}
    with job(args, inputs={"sft": args.sft}, outputs=outputs, settings=settings) as work:
        tars = sum(tar.stat().st_size for tar in args.sft.rglob("*.tar"))
        check_room({args.out: COPIED * tars * total / settings.rows})
        draw = generator(args.seed, "sft_validation").choice(total, held_out, replace=False)
        chosen = {int(number) for number in draw}
        dropped = Dropped(settings.max_dropped)
        counts = {"out": 0, "validation": 0}
        with ExitStack() as stack:
            add = {name: stack.enter_context(conversation_writer(getattr(args, name))) for name in counts}
            for number, problem, response in rows(args.sft, total, settings.limit is None, dropped):
                name = "validation" if number in chosen else "out"
                add[name](problem, response)
                counts[name] += 1
            if 0 in counts.values():
                raise UserError(f"{args.sft}: nothing is left of {' and '.join(n for n, c in counts.items() if not c)}")
        work.metrics |= {"conversations": counts["out"], "held_out": counts["validation"], "dropped": len(dropped.rows)}
        work.notes["dropped"] = dropped.rows


def taken(settings: SFTPreparation) -> tuple[int, int]:
    """How many rows are read, and how many of them are held out: under a limit as if the data set ended there."""
    if settings.limit is None:
        return settings.rows, settings.validation_size
    held_out = min(settings.limit, settings.validation_size)
    return min(settings.rows, settings.limit + held_out), held_out


def rows(folder: Path, total: int, whole: bool, dropped: Dropped) -> Iterator[Row]:
    """The usable ones of the first `total` conversations, each with its number.

    Raises UserError if the data set has fewer rows, or more where it is read as a `whole`.
    """
    path = conversation_file(folder)
    log(f"indexing the tars of {folder}")
    number = -1
    with closing(ImageStore(folder)) as images:
        key = image_key(path, islice(iter_items(path), ITEMS_TO_LEARN_FROM), images)
        log(f"{len(images)} files in {len(images.tars)} tars; images are named by {key}")
        items = islice(iter_items(path), None if whole else total)
        for number, item in enumerate(track(items, "conversations", total)):
            try:
                problem, response = conversation(number, item, key, images)
            except BrokenRow as reason:
                dropped.add(number, f"{path}: item {number}", str(reason))
            else:
                yield number, problem, response
    if number + 1 != total:
        raise UserError(f"{path}: expected {total} items, found {number + 1}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--sft", type=Path, required=True, help="folder with the JSON list and the tars")
    add("--seed", type=int, default=0)
    add("--out", type=Path, required=True, help="conversations to write, Parquet")
    add("--validation", type=Path, required=True, help="held-out conversations to write, Parquet")
    add_settings_arguments(parser, SFTPreparation)
    add_job_arguments(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)

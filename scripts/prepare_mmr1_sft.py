"""Make the cold start's conversations from `MMR1/MMR1-SFT` as downloaded: a JSON list and tars of images.

Both are streamed, so that memory stays flat but for the tars' index (about 150 bytes a file). The held-out
conversations are drawn by the seed over the rows that the data set must have. The whole set is gone through: each row
that is left out stands in `--rejects` with its reason, and only at the end more than `max_dropped` of them are an
error. What was killed begins again from the downloads; that takes minutes, and leaves nothing behind.
"""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from itertools import islice
from pathlib import Path

from mmr1.data.conversations import conversation_writer
from mmr1.data.mmr1_sft import Item, conversation, conversation_file, conversation_id, image_keys, iter_items
from mmr1.data.parallel import cores, in_order
from mmr1.data.problems import BrokenRow, Problem
from mmr1.data.rejects import Rejects, reject_table
from mmr1.data.rows import in_blocks
from mmr1.data.sources.mmr1 import SFTPreparation
from mmr1.data.tar_files import ImageStore
from mmr1.plumbing.disk import check_room
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.progress import log, track
from mmr1.plumbing.record import add_job_arguments, job
from mmr1.seeds import generator

Row = tuple[int, Problem, str]

COPIED = 0.5  # of the bytes in the tars, at least: not every image need be one of a conversation
ITEMS_AT_A_TIME = 32


def main() -> None:
    args = parse_arguments()
    settings = settings_of(args, SFTPreparation)
    total, held_out = taken(settings)
    if held_out >= total:
        raise UserError(f"validation_size: expected 1 to {total - 1}, found {held_out}")
    outputs = {"out": args.out, "validation": args.validation, "rejects": args.rejects}
    with (
        job(args, inputs={"sft": args.sft}, outputs=outputs, settings=settings) as work,
        reject_table(args.rejects, settings.max_dropped) as rejects,
    ):
        tars = sum(tar.stat().st_size for tar in args.sft.rglob("*.tar"))
        check_room({args.out: COPIED * tars * total / settings.rows})
        draw = generator(args.seed, "sft_validation").choice(total, held_out, replace=False)
        chosen = {int(number) for number in draw}
        counts = {"out": 0, "validation": 0}
        with ExitStack() as stack:
            add = {name: stack.enter_context(conversation_writer(getattr(args, name))) for name in counts}
            for number, problem, response in rows(args.sft, settings, total, rejects):
                name = "validation" if number in chosen else "out"
                add[name](problem, response)
                counts[name] += 1
            rejects.settle()
            if 0 in counts.values():
                raise UserError(f"{args.sft}: nothing is left of {' and '.join(n for n, c in counts.items() if not c)}")
        work.metrics |= {"conversations": counts["out"], "held_out": counts["validation"], "dropped": len(rejects)}
        work.notes |= rejects.notes()


def taken(settings: SFTPreparation) -> tuple[int, int]:
    """How many rows are read, and how many of them are held out: under a limit as if the data set ended there."""
    if settings.limit is None:
        return settings.rows, settings.validation_size
    held_out = min(settings.limit, settings.validation_size)
    return min(settings.rows, settings.limit + held_out), held_out


def rows(folder: Path, settings: SFTPreparation, total: int, rejects: Rejects) -> Iterator[Row]:
    """The usable ones of the first `total` conversations, each with its number.

    Raises UserError if the data set has fewer rows, or more where all of it is read.
    """
    path = conversation_file(folder)
    workers = settings.machine.workers or cores()
    log(f"indexing the tars of {folder}")
    number = -1
    with closing(ImageStore(folder, workers)) as images:
        keys = image_keys(iter_items(path), images)
        log(f"{len(images)} files in {len(images.tars)} tars; images are named by {', '.join(keys)}")
        items = enumerate(islice(iter_items(path), None if settings.limit is None else total))
        blocks = in_blocks(track(items, "conversations", total), ITEMS_AT_A_TIME)
        for block in in_order(partial(made, keys, images), blocks, workers):
            for number, result in block:
                if isinstance(result, str):
                    rejects.add(path, f"item {number}", number, conversation_id(number), result)
                else:
                    yield number, *result
    if number + 1 != total:
        raise UserError(f"{path}: expected {total} items, found {number + 1}")


def made(
    keys: list[str], images: ImageStore, block: list[tuple[int, Item]]
) -> list[tuple[int, tuple[Problem, str] | str]]:
    """A conversation for each numbered item, or the reason why it makes none."""
    results: list[tuple[int, tuple[Problem, str] | str]] = []
    for number, item in block:
        try:
            results.append((number, conversation(number, item, keys, images)))
        except BrokenRow as reason:
            results.append((number, str(reason)))
    return results


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--sft", type=Path, required=True, help="folder with the JSON list and the tars")
    add("--seed", type=int, default=0)
    add("--out", type=Path, required=True, help="conversations to write, Parquet")
    add("--validation", type=Path, required=True, help="held-out conversations to write, Parquet")
    add("--rejects", type=Path, help="table of the rows that are left out, with their reasons, to write")
    add_settings_arguments(parser, SFTPreparation)
    add_job_arguments(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)

"""Make the paper's RL problems from `MMR1/MMR1-RL` as downloaded, and the problems of its validation curve.

Every row is checked here, where it costs minutes, and not after days of SFT: images decode, marks fit images, there is
a gold answer. The whole set is gone through: each row that is left out stands in `--rejects` with its reason, and only
at the end more than `max_dropped` broken ones are an error. `long_prompts` says what becomes of prompts that are longer
than the trainer's bound (`mmr1.data.long_prompts`).
"""

import argparse
from itertools import islice
from pathlib import Path

import pyarrow as pa

from mmr1.data import contracts
from mmr1.data.chat import read_prompt
from mmr1.data.golds import tell_unreadable, unreadable_golds
from mmr1.data.long_prompts import fitting
from mmr1.data.mmr1_rl import ROWS_AT_A_TIME, kept_problems, with_letter
from mmr1.data.problems import problem_rows, read_problems, write_problems
from mmr1.data.prompts import PromptEncoder
from mmr1.data.rejects import reject_table
from mmr1.data.rows import in_blocks
from mmr1.data.sources.mmr1 import RLPreparation
from mmr1.models.checkpoints import load_processor
from mmr1.models.family import family_file
from mmr1.plumbing.disk import bytes_under, check_room
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.progress import log
from mmr1.plumbing.record import add_job_arguments, job

COPIED = 0.9  # of the bytes of the RL set, at least: images, which do not get smaller


def main() -> None:
    args = parse_arguments()
    settings = settings_of(args, RLPreparation)
    inputs = {name: getattr(args, name) for name in ("rl", "benchmark", "processor", "system_prompt")}
    outputs = {"out": args.out, "validation": args.validation, "rejects": args.rejects}
    with (
        job(args, inputs=inputs, outputs=outputs, settings=settings) as work,
        reject_table(args.rejects, settings.max_dropped) as rejects,
    ):
        work.plugins.append(family_file(args.processor))
        check_room({args.out: COPIED * bytes_under(args.rl) * (settings.limit or settings.rows) / settings.rows})
        encoder = prompt_encoder(args.processor, read_prompt(args.system_prompt), settings)
        problems = islice(
            kept_problems(
                args.rl,
                rejects,
                lambda one: fitting(one, encoder, settings.max_prompt_tokens, settings.long_prompts),
            ),
            settings.limit,
        )
        kept = shrunk = 0
        unreadable: dict[str, str] = {}
        with contracts.writer(args.out, contracts.PROBLEMS) as table:
            for block in in_blocks(problems, ROWS_AT_A_TIME):
                table.write_table(pa.Table.from_pylist(problem_rows(block), schema=contracts.PROBLEMS))
                kept += len(block)
                shrunk += sum("shrunk" in problem.metadata for problem in block)
                unreadable |= unreadable_golds(block)
                log(f"{kept}/{settings.limit or settings.rows} problems")
            if settings.limit is None and kept + len(rejects) != settings.rows:
                raise UserError(f"{args.rl}: expected {settings.rows} rows, found {kept + len(rejects)}")
            rejects.settle()
            if not kept:
                raise UserError(f"{args.rl}: nothing is left of {settings.rows} rows")
        benchmark = read_problems(args.benchmark, allow_empty_answer=True)
        judged = [problem for problem in benchmark if problem.answer.strip()]  # LogicVista has an item without a gold
        if without := len(benchmark) - len(judged):
            log(f"{args.benchmark}: {without} of {len(benchmark)} items have no gold, and validate nothing")
        validation = [with_letter(problem) for problem in judged[: settings.limit]]
        write_problems(args.validation, validation)
        work.metrics |= {"problems": kept, "dropped": len(rejects), "validation": len(validation)}
        work.metrics |= {"validation_without_gold": float(without), "shrunk": float(shrunk)}
        work.notes |= rejects.notes()
        tell_unreadable(work, {"problems": unreadable, "validation": unreadable_golds(validation)})


def prompt_encoder(processor: Path, system_prompt: str | None, settings: RLPreparation) -> PromptEncoder:
    """What gives the length of a problem's prompt as the trainer sees it."""
    return PromptEncoder(
        load_processor(processor),
        system_prompt,
        settings.prompt_position,
        settings.min_pixels,
        settings.max_pixels,
        cache_bytes=0,
    )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--rl", type=Path, required=True, help="folder with the Parquet files of the RL set")
    add("--processor", type=Path, required=True, help="a model whose tokenizer and image processor give the lengths")
    add("--system-prompt", type=Path, help="a text file")
    add("--benchmark", type=Path, required=True, help="problems.parquet of the benchmark that validates")
    add("--out", type=Path, required=True, help="problems.parquet to write")
    add("--validation", type=Path, required=True, help="problems.parquet of the validation curve to write")
    add("--rejects", type=Path, help="table of the rows that are left out, with their reasons, to write")
    add_settings_arguments(parser, RLPreparation)
    add_job_arguments(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)

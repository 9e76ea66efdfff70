"""Supervised fine-tuning of a base model on problems with worked responses (the cold start, §5).

Run it by hand on one device, or with `torchrun` on several: the first rank writes the outputs and the record. Exit code
75 means: stopped as asked (SIGTERM, or the deadline came near), the state is saved in --work; run the same again.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from mmr1.models.family import family_file
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.record import add_job_arguments, beside_job, job
from mmr1.plumbing.work_folder import WorkFolder
from mmr1.sft.settings import SFTTrainerSettings

DATA = ("model", "conversations", "validation", "system_prompt")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="the base model, a Hugging Face folder")
    parser.add_argument("--conversations", type=Path, required=True, help="problems with a column `response`")
    parser.add_argument("--validation", type=Path, required=True, help="held-out problems with a column `response`")
    parser.add_argument("--system-prompt", type=Path, help="a text file")
    parser.add_argument("--out", type=Path, required=True, help="the checkpoint, a Hugging Face folder")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.jsonl")
    parser.add_argument("--work", type=Path, required=True, help="where states are saved to go on from after a kill")
    parser.add_argument("--deadline-minutes", type=float, help="the job's time limit: save and leave before it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; results depend on it in the last bits")
    add_settings_arguments(parser, SFTTrainerSettings)
    add_job_arguments(parser)
    return parser.parse_args()


def main() -> None:
    started = time.monotonic()
    args = parse_arguments()
    settings = settings_of(args, SFTTrainerSettings)
    inputs = {name: getattr(args, name) for name in DATA}
    outputs = {"out": args.out, "metrics": args.metrics}
    rank = int(os.environ.get("RANK", 0))
    first = rank == 0
    folder = WorkFolder(args.work)
    recorded = job(args, inputs=inputs, outputs=outputs, settings=settings)
    with recorded if first else beside_job(args, rank, outputs) as work:
        work.plugins.append(family_file(args.model))
        if first:
            folder.hold(apart_from=[*inputs.values(), args.out, args.metrics, args.record])
        try:
            work.metrics |= train(args, settings, started, {name: work.inputs.get(name, "") for name in DATA})
        finally:
            folder.leave()
    if first:  # only now: until the record is written the job may have to be run again
        folder.remove()


def train(
    args: argparse.Namespace, settings: SFTTrainerSettings, started: float, digests: dict[str, str]
) -> dict[str, float]:
    """Check the inputs against the settings and train; ends the process with code 75 where it has to leave."""
    import torch  # after the arguments were checked: it takes seconds

    from mmr1.data.chat import read_prompt
    from mmr1.data.conversations import ConversationFile
    from mmr1.models.checkpoints import check_checkpoint, count_weights
    from mmr1.models.determinism import require_determinism
    from mmr1.plumbing.disk import bytes_under, check_room
    from mmr1.plumbing.interruption import EXIT_CODE, Interrupted, Interruption
    from mmr1.plumbing.states import states_at_once
    from mmr1.sft.train import count_saves, saved_bytes, train_sft

    interruption = Interruption(args.deadline_minutes, started)
    torch.set_num_threads(args.threads)
    if settings.deterministic:
        require_determinism()
    rows = ConversationFile(args.conversations)
    validation = ConversationFile(args.validation, decoded=None)  # small, and all of it is read in every evaluation
    if settings.batch_size > len(rows):
        raise UserError(
            f"batch_size: expected at most {len(rows)}, as in {args.conversations}, found {settings.batch_size}"
        )
    check_checkpoint(args.model)
    if int(os.environ.get("RANK", 0)) == 0:
        checkpoint, state = saved_bytes(count_weights(args.model), settings)
        states = states_at_once(count_saves(settings, len(rows))) * state
        check_room({args.out: checkpoint, args.work: states - bytes_under(args.work)})
    prompt = read_prompt(args.system_prompt)
    try:
        files = args.work, args.out, args.metrics
        return train_sft(args.model, rows, validation, settings, prompt, args.seed, *files, interruption, digests)
    except Interrupted as reason:
        print(f"train_sft.py: {reason}; run again to go on", file=sys.stderr)
        sys.exit(EXIT_CODE)


if __name__ == "__main__":
    run(main)

"""Supervised fine-tuning of a base model on problems with worked responses (the cold start, §5).

Run it by hand on one device, or with `torchrun` on several: the first rank writes the outputs and the record.
"""

import argparse
import os
from contextlib import nullcontext
from pathlib import Path

from mmr1.errors import UserError, run
from mmr1.provenance.record import Job, add_job_arguments, job


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=Path, required=True, help="settings.json with the fields of SFTSettings")
    parser.add_argument("--model", type=Path, required=True, help="the base model, a Hugging Face folder")
    parser.add_argument("--conversations", type=Path, required=True, help="problems with a column `response`")
    parser.add_argument("--validation", type=Path, required=True, help="held-out problems with a column `response`")
    parser.add_argument("--system-prompt", type=Path, help="a text file")
    parser.add_argument("--out", type=Path, required=True, help="the checkpoint, a Hugging Face folder")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.jsonl")
    parser.add_argument("--work", type=Path, required=True, help="where states are saved to go on from after a kill")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; results depend on it in the last bits")
    add_job_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    inputs = {
        name: getattr(args, name) for name in ("settings", "model", "conversations", "validation", "system_prompt")
    }
    recorded = job(args, inputs=inputs, outputs={"out": args.out, "metrics": args.metrics})
    with recorded if int(os.environ.get("RANK", 0)) == 0 else nullcontext(Job()) as work:
        import torch  # after the arguments were checked: it takes seconds

        from mmr1.checkpoints import check_checkpoint
        from mmr1.conversations import read_conversations
        from mmr1.settings import read_settings, read_text
        from mmr1.sft.settings import SFTSettings
        from mmr1.sft.train import train_sft

        torch.set_num_threads(args.threads)
        settings = read_settings(args.settings, SFTSettings)
        train, validation = read_conversations(args.conversations), read_conversations(args.validation)
        if settings.batch_size > len(train):
            raise UserError(
                f"{args.settings}: batch_size: expected at most {len(train)}, as in {args.conversations}, "
                f"found {settings.batch_size}"
            )
        check_checkpoint(args.model)
        work.metrics |= train_sft(
            args.model,
            train,
            validation,
            settings,
            read_text(args.system_prompt),
            args.seed,
            args.work,
            args.out,
            args.metrics,
        )


if __name__ == "__main__":
    run(main)

"""Download a model or a data set from the Hugging Face hub at a pinned commit, every file checked against its hash.

    python scripts/download_hub.py --kind model --repository Qwen/Qwen2.5-VL-3B-Instruct --revision 6628554 \\
        --files '*.json' '*.safetensors' '*.txt' --out model --work model.part

The hub's own settings hold: HF_ENDPOINT for a mirror, HF_TOKEN for a repository that needs one.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mmr1.data.hub import download, resolve
from mmr1.plumbing.errors import run
from mmr1.plumbing.record import add_job_arguments, job


def main() -> None:
    args = parse_arguments()
    with job(args, inputs={}, outputs={"out": args.out}) as work:
        commit = resolve(args.repository, args.kind, args.revision)
        work.notes["source"] = {"repository": args.repository, "commit": commit}
        check: Callable[[Path], object] | None = None
        if args.kind == "model":
            from mmr1.models.checkpoints import check_checkpoint

            check = partial(check_checkpoint, family=args.family)
        work.metrics["files"] = download(args.repository, args.kind, commit, args.files, args.work, args.out, check)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=("model", "dataset"), required=True)
    parser.add_argument("--repository", required=True, help="such as Qwen/Qwen2.5-VL-3B-Instruct")
    parser.add_argument("--revision", required=True, help="commit hash, or a prefix that only one commit has")
    parser.add_argument("--family", help="the kind of model that it must be (default: any that there is)")
    parser.add_argument("--files", nargs="*", default=[], help="patterns of file names (default: all files)")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--work", type=Path, required=True, help="where files are gathered, to go on from after a kill")
    add_job_arguments(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)

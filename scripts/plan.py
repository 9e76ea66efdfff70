"""What a recipe will cost, before it is spent: jobs, GPUs, tokens, FLOPs, hours and disk, by model, run and stage.

    .envs/driver/bin/python scripts/plan.py --profile workflow/profiles/slurm -- all

Words but those below are Snakemake's: profile, recipe, targets. Nothing is computed. Lengths are assumptions, which the
first line states: give what your own runs had. Runs in the driver's environment.
"""

import argparse
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from snakemake import cli
from snakemake.api import DAGApi
from snakemake.settings.types import ExecutionSettings, RemoteExecutionSettings

from mmr1.plan import from_dag
from mmr1.plan.memory import GPU_BYTES
from mmr1.plan.summary import Speeds, line, passes_share, rows, sums
from mmr1.plan.table import table
from mmr1.plan.work import Lengths
from mmr1.plumbing.errors import run


def main() -> None:
    args, words = parse_arguments()
    lengths = Lengths(args.prompt_tokens, args.visual_tokens, args.response_tokens, args.conversation_tokens)
    speeds = Speeds(args.peak * 1e12, args.training, args.sampling, args.cpu * 1e9)
    # Snakemake reads its profile and the recipe as in any call, and hands over where it would begin to work.
    DAGApi.execute_workflow = lambda self, **_: show(self.workflow_api._workflow, lengths, speeds, args)
    snakemakes_parser, snakemakes = cli.parse_args(["--dry-run", "--quiet=all", *words])
    with redirect_stdout(sys.stderr):  # what Snakemake says of a dry run
        done = cli.args_to_api(snakemakes, snakemakes_parser)
    if not done:
        sys.exit(1)


def parse_arguments() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add, lengths, speeds = parser.add_argument, Lengths(), Speeds()
    add("--json", action="store_true", help="rows and sums as JSON")
    add("--measured", action="store_true", help="lengths are this recipe's: its bounds do not cap them")
    add("--prompt-tokens", type=int, default=lengths.prompt, help="mean of a prompt, its images included")
    add("--visual-tokens", type=int, default=lengths.visual, help="of these, an image's")
    add("--response-tokens", type=int, default=lengths.response, help="mean of a response")
    add("--conversation-tokens", type=int, default=lengths.conversation, help="mean of a conversation of SFT")
    add("--peak", type=float, default=speeds.peak / 1e12, help="TFLOP/s of one GPU, dense bf16 (default: an H100's)")
    add(
        "--training",
        type=float,
        default=speeds.training,
        help="share of it that training reaches (default: by size)",
    )
    add("--sampling", type=float, default=speeds.sampling, help="share of it that sampling reaches (default: by size)")
    add("--gpu-memory", type=float, default=GPU_BYTES / 2**30, help="GiB of one GPU: an engine takes its share")
    add("--cpu", type=float, default=speeds.cpu / 1e9, help="GFLOP/s of one thread, where there are no GPUs")
    return parser.parse_known_args()


def show(workflow: Any, lengths: Lengths, speeds: Speeds, args: argparse.Namespace) -> None:
    """Print the plan of a workflow whose graph is not built yet."""
    workflow.execution_settings, workflow.remote_execution_settings = ExecutionSettings(), RemoteExecutionSettings()
    workflow._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True)
    workflow._build_dag()
    device_bytes = int(args.gpu_memory * 2**30)
    jobs, unknown = from_dag.planned_jobs(workflow.dag, workflow.globals, lengths, device_bytes, args.measured)
    if args.json:
        values = {"rows": rows(jobs, speeds), "sums": sums(jobs, speeds), "passes": passes_share(jobs)}
        print(json.dumps({**values, "unknown": unknown}), file=sys.__stdout__)
        return
    said = [table(jobs, speeds, lengths, Path(workflow.globals["RECIPE_FILE"]))]
    if unknown:
        said.append(f"not counted, because nobody knows it yet: {', '.join(unknown)}")
    print(*said, line(jobs, speeds), sep="\n", file=sys.__stdout__)


if __name__ == "__main__":
    run(main)

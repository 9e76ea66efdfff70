"""A plan as text."""

from collections.abc import Sequence
from pathlib import Path

from mmr1.plan.summary import PlannedJob, Speeds, gigabytes, passes_share, rows
from mmr1.plan.work import Lengths

HEAD = ("model", "run", "stage", "jobs", "due", "GPUs", "a rank", "tokens", "PFLOPs", "hours", "at most", "kept")


def table(jobs: Sequence[PlannedJob], speeds: Speeds, lengths: Lengths, recipe: Path) -> str:
    """Assumptions, a row per model, run and stage, and what VPS passes cost. `a rank` is its memory in training."""
    lines = [
        f"{recipe}: prompts of {lengths.prompt} tokens ({lengths.visual} of them visual), responses of "
        f"{lengths.response}, conversations of {lengths.conversation}, or half of the recipe's bound; training at "
        f"{of_peak(jobs, speeds, 0)} and sampling at {of_peak(jobs, speeds, 1)} of {speeds.peak / 1e12:,.0f} "
        "TFLOP/s a GPU",
        "",
    ]
    body = [
        (
            row["model"] or "-",
            row["run"] or "-",
            row["stage"],
            str(row["jobs"]),
            str(row["due"]),
            str(row["gpus"] or "-"),
            f"{row['rank_bytes'] / 2**30:,.1f} GiB" if row["rank_bytes"] else "-",
            millions(row["trained_tokens"] + row["sampled_tokens"]),
            f"{row['flops'] / 1e15:,.1f}" if row["flops"] else "-",
            f"{row['hours']:,.1f}" if row["flops"] else "-",
            f"{row['asked_gpu_hours']:,.0f}" if row["asked_gpu_hours"] else "-",
            gigabytes(row["kept_bytes"]) if row["kept_bytes"] else "-",
        )
        for row in rows(jobs, speeds)
    ]
    widths = [max(len(row[column]) for row in [HEAD, *body]) for column in range(len(HEAD))]
    for row in [HEAD, *body]:
        cells = (
            cell.ljust(width) if index < 3 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
    lines.append("")
    if (share := passes_share(jobs)) is not None:
        lines.append(f"VPS passes sample {share:.0%} of what training samples")
    return "\n".join(lines)


def millions(number: float) -> str:
    """A number of tokens as text: 12M, 1.6B."""
    if not number:
        return "-"
    return f"{number / 1e9:,.1f}B" if number >= 1e9 else f"{number / 1e6:,.1f}M"


def of_peak(jobs: Sequence[PlannedJob], speeds: Speeds, which: int) -> str:
    """The shares that jobs with a model reach, smallest first: "10 to 20%"."""
    found = sorted({speeds.shares(job.weights)[which] for job in jobs if job.weights}) or [speeds.shares(0)[which]]
    return " to ".join(f"{share:.0%}" for share in found).replace("% to", " to")

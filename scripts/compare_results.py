"""What differs between two runs, or two recipes: their settings, and their accuracies with paired 95% intervals.

    python scripts/compare_results.py results/digits/tiny/vas results/digits/tiny/grpo
    python scripts/compare_results.py results/digits results/mine

A difference is the first less the second on the same problems and seeds; its interval comes from resampling both
(`mmr1.report.bootstrap`). Nothing is written.
"""

import argparse
from pathlib import Path

from mmr1.plumbing.errors import UserError, run
from mmr1.report.bootstrap import Difference
from mmr1.report.differences import Subject, compared, in_common, settings, subjects


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("first", "second"):
        parser.add_argument(name, type=Path, help="a results folder, such as results/digits, or MODEL/RUN in one")
    parser.add_argument("--score", default="reader", help="reader, official or judge (default: reader)")
    args = parser.parse_args()
    pairs = list(in_common(subjects(args.first), subjects(args.second)))
    if not pairs:
        raise UserError(f"{args.first} and {args.second}: expected runs of one model and name, found none in common")
    for first, second in pairs:
        print(f"{first} less {second}")
        print_settings(first, second)
        print_accuracies(first, second, args.score)


def print_settings(first: Subject, second: Subject) -> None:
    """The keys that differ, with both values; of sections that only one of them has, such as RL's, the names."""
    one, other = settings(first), settings(second)
    sections = [{key.partition(".")[0] for key in values} for values in (one, other)]
    for subject, only in ((first, sections[0] - sections[1]), (second, sections[1] - sections[0])):
        if only:
            print(f"  only {subject}: {', '.join(sorted(only))}")
    for key in sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key)):
        if key.partition(".")[0] in sections[0] & sections[1]:
            print(f"  {key}: {shown(one, key)}, {shown(other, key)}")


def print_accuracies(first: Subject, second: Subject, score: str) -> None:
    """A line per benchmark, and one for their mean."""
    rows, mean = compared(first, second, score)
    for row in rows:
        both = " and ".join(f"{100 * value:.1f}%" for value in row.accuracies)
        print(f"  {row.benchmark} ({score}): {both}; {in_points(row.difference)}")
    if mean is not None:
        print(f"  mean of {len(rows)} benchmarks: {in_points(mean)}")


def in_points(one: Difference) -> str:
    """A difference in points, its interval, and what the interval is over."""
    over = f"{one.seeds} seeds" if one.over_seeds else "1 seed, which says nothing about seeds"
    verdict = "" if one.shown else "; no difference is shown"
    points = f"{100 * one.mean:+.1f} points [{100 * one.low:+.1f}, {100 * one.high:+.1f}]"
    return f"{points} over {one.problems} problems and {over}{verdict}"


def shown(values: dict[str, object], key: str) -> str:
    """A value as a recipe would say it."""
    return str(values[key]) if key in values else "not there"


if __name__ == "__main__":
    run(main)

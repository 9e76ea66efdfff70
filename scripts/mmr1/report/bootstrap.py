"""The paired difference of two subjects' accuracies with its 95% interval, over problems and, if there are any, seeds.

Both subjects answer the same problems, and a run under one seed is compared with the other run under the same seed. All
seeds answer the same problems, so that seeds and problems are crossed. A resample draws seeds and problems, each with
replacement, and is the mean difference, plus what the drawn seeds deviate from it, plus what the drawn problems do. A
single seed leaves the problems alone, and then nothing is said about seeds.

The interval is a little long rather than short: chance that belongs to one answer counts in both parts. (Drawing rows
and columns of the table at once, the pigeonhole bootstrap of Owen 2007, counts it three times.) Where seeds deviate by
six points, 120 problems and eight seeds hold the truth at least 92% of the time, four seeds at least 89%
(tests/test_bootstrap.py): a few seeds cannot tell how much seeds differ. Where neither seeds nor problems
deviate but by chance, the interval is √2 times as long as it need be, and no more.

Two corrections are for short samples. Seeds' deviations are stretched by √(S/(S-1)), without which the variance over
S seeds comes out S/(S-1) times too small (Rao and Wu 1988). Each benchmark has two more problems, one that only the
first subject solves and one that only the second does (Bonett and Price 2012, for paired shares): without them an
interval over problems on which the subjects never differ would have no width.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from mmr1.plumbing.errors import UserError
from mmr1.seeds import generator

RESAMPLES = 10_000
CHUNK = 500  # resamples at once: memory is CHUNK × kinds of problems

Floats = NDArray[np.float64]
Verdicts = Sequence[tuple[str, bool]]  # an item's id, and whether a response to it was right
SeedVerdicts = Mapping[int | None, Verdicts]  # by seed; None for a subject without seeds


@dataclass(frozen=True)
class Paired:
    """One benchmark's differences, first subject less second: `values` float64 [seeds, problems] in [-1, 1].

    A value is a mean over `items` float64 [problems] items, more than one where items are versions of one problem.
    `seeds` are None where neither subject has any.
    """

    seeds: tuple[int | None, ...]
    values: Floats
    items: Floats


@dataclass(frozen=True)
class Difference:
    """A paired difference of accuracy in [-1, 1], its 95% interval, and over how many seeds and problems it was taken.

    `differing` counts the pairs of seed and problem in which the two subjects did unlike. `p` is two-sided: twice the
    share of resamples on the rarer side of 0, and at least 1 / resamples; where it is asked for (NaN elsewhere).
    """

    mean: float
    low: float
    high: float
    seeds: int
    problems: int
    differing: int
    p: float = math.nan

    @property
    def over_seeds(self) -> bool:
        """Whether the interval covers how much seeds differ."""
        return self.seeds > 1

    @property
    def shown(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def paired(
    first: SeedVerdicts, second: SeedVerdicts, cluster: Callable[[str], str] | None = None, name: str = ""
) -> Paired | None:
    """The differences of two subjects on one benchmark; None if they have no seed in common.

    A subject without seeds, such as SFT, stands against every seed of the other. `cluster` gives the problem that an
    item is a version of; by default each item is a problem. `name` is the benchmark, for errors: raises UserError if
    the two did not answer the same items.
    """
    seeds = _seeds_in_common(first, second)
    if not seeds:
        return None
    rates = [(_rates(_of_seed(first, seed)), _rates(_of_seed(second, seed))) for seed in seeds]
    items = sorted(rates[0][0])
    for one in (one for pair in rates for one in pair):
        if one.keys() != rates[0][0].keys():
            item = min(one.keys() ^ rates[0][0].keys())
            raise UserError(
                f"{name}: item {item}: expected a verdict on it for both subjects and every seed, found none"
            )
    problems: dict[str, int] = {}
    where = np.array([problems.setdefault(cluster(item) if cluster else item, len(problems)) for item in items])
    sizes = np.bincount(where, minlength=len(problems)).astype(np.float64)
    values = np.array(
        [np.bincount(where, [a[item] - b[item] for item in items], len(problems)) / sizes for a, b in rates]
    )
    return Paired(seeds, values, sizes)


def difference(benchmarks: Mapping[str, Paired], resamples: int | None = None) -> Difference:
    """The mean over benchmarks of the paired difference, each benchmark counting the same.

    Only seeds that every benchmark has are used; one seed is one training, drawn for all benchmarks at once. Draws are
    seeded by the benchmarks' names and by how many there are to draw from: the same verdicts give the same interval,
    and two runs beside the same third are resampled alike; there are `resamples` of them, `RESAMPLES` by default.
    Raises UserError if no seed has all benchmarks.
    """
    resamples = resamples or RESAMPLES
    names = sorted(benchmarks)
    common = set.intersection(*(set(benchmarks[name].seeds) for name in names))
    if not common:
        raise UserError(f"{', '.join(names)}: expected verdicts of one seed on every benchmark, found none")
    tables = [_only(benchmarks[name], common) for name in names]
    of_seeds = np.mean([np.average(table.values, axis=1, weights=table.items) for table in tables], axis=0)
    over_problems = np.mean(
        [_over_problems(name, one, resamples) for name, one in zip(names, tables, strict=True)], axis=0
    )
    resampled = over_problems + _deviations_of_seeds(of_seeds, resamples)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Difference(
        mean=float(of_seeds.mean()),
        low=float(low),
        high=float(high),
        seeds=len(of_seeds),
        problems=sum(table.values.shape[1] for table in tables),
        differing=sum(int((table.values != 0).sum()) for table in tables),
        p=_two_sided(resampled),
    )


def difference_of_seeds(values: Floats) -> Difference:
    """The mean of what paired seeds differ by in a quantity of which each has one value, with Student's t interval.

    `values` float64 [seeds], in any unit. One seed has no interval: its bounds are infinite, and its p is 1.
    """
    seeds, mean = len(values), float(np.mean(values))
    differing = int((values != 0).sum())
    if seeds == 1:
        return Difference(mean, -math.inf, math.inf, seeds, 0, differing, 1.0)
    error = float(np.std(values, ddof=1)) / math.sqrt(seeds)
    half = float(student.ppf(0.975, seeds - 1)) * error
    p = 2 * float(student.sf(abs(mean) / error, seeds - 1)) if error else float(mean == 0)
    return Difference(mean, mean - half, mean + half, seeds, 0, differing, p)


def _two_sided(resampled: Floats) -> float:
    rarer = min(float((resampled <= 0).mean()), float((resampled >= 0).mean()))
    return min(1.0, max(2 * rarer, 1 / len(resampled)))


def _over_problems(name: str, table: Paired, resamples: int) -> Floats:
    """Float64 [resamples]: the mean difference over all seeds and resampled problems.

    Problems of equal difference and number of items are drawn as one kind: how many of each kind is multinomial.
    """
    size = table.items.mean()
    items = np.append(table.items, [size, size])
    values = np.append(table.values.mean(axis=0), [1.0, -1.0])
    problems, random = len(items), generator(0, "paired bootstrap", name, len(items))
    kinds, counts = np.unique(np.column_stack([values * items, items]), axis=0, return_counts=True)
    means = np.empty(resamples)
    for start in range(0, resamples, CHUNK):
        totals = random.multinomial(problems, counts / problems, size=min(CHUNK, resamples - start)) @ kinds
        means[start : start + CHUNK] = totals[:, 0] / totals[:, 1]
    return means


def _deviations_of_seeds(of_seeds: Floats, resamples: int) -> Floats:
    """Float64 [resamples]: how far the mean over resampled seeds is from the mean over all; 0 for a single seed."""
    seeds = len(of_seeds)
    if seeds == 1:
        return np.zeros(resamples)
    drawn = generator(0, "paired bootstrap over seeds", seeds).integers(seeds, size=(resamples, seeds))
    return (of_seeds[drawn].mean(axis=1) - of_seeds.mean()) * np.sqrt(seeds / (seeds - 1))


def _only(table: Paired, seeds: set[int | None]) -> Paired:
    kept = [row for row, seed in enumerate(table.seeds) if seed in seeds]
    return Paired(tuple(table.seeds[row] for row in kept), table.values[kept], table.items)


def _seeds_in_common(first: SeedVerdicts, second: SeedVerdicts) -> tuple[int | None, ...]:
    """In increasing order; those of the other where one subject has no seeds, (None,) if neither has."""
    if None in first or None in second:
        return tuple(second if None in first else first)
    return tuple(sorted(seed for seed in first if seed in second and seed is not None))


def _of_seed(verdicts: SeedVerdicts, seed: int | None) -> Verdicts:
    return verdicts[None] if None in verdicts else verdicts[seed]


def _rates(verdicts: Verdicts) -> dict[str, float]:
    """Of each item the share of its responses that were right."""
    seen: dict[str, list[bool]] = {}
    for item, right in verdicts:
        seen.setdefault(item, []).append(right)
    return {item: sum(all_of_it) / len(all_of_it) for item, all_of_it in seen.items()}

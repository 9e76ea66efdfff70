"""The benchmarks by name. A new one is a file with a `BENCHMARK` and a line here."""

from mmr1.benchmarks.base import Benchmark
from mmr1.benchmarks.suite import chartqa, digits, logicvista, mathverse, mathvision, mathvista
from mmr1.plumbing.errors import UserError

# In the order of the columns of Tables 2 and 3; `digits` is the embedded one.
BENCHMARKS: dict[str, Benchmark] = {
    module.BENCHMARK.name: module.BENCHMARK
    for module in (mathverse, mathvista, mathvision, logicvista, chartqa, digits)
}


def benchmark(name: str) -> Benchmark:
    """The benchmark of that name. Raises UserError if there is none."""
    if name not in BENCHMARKS:
        raise UserError(f"--benchmark {name}: expected one of {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]

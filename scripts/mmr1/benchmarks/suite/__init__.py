"""Benchmarks, one file each: its source, how a row becomes a problem, which rules judge a response, what is reported.

A member defines `BENCHMARK`, a `Benchmark` (`mmr1.benchmarks.base`) whose name is the file's. What several of them
decide by lies in `rules/` beside this folder.
"""

"""A results folder as the workflow leaves it, made of drawn numbers: what the report and the MLflow export read."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmr1.data import contracts
from mmr1.data.problems import Problem, write_problems
from mmr1.data.sources import digits
from mmr1.plumbing.files import digest, files_under, sha256, write_json, write_jsonl
from mmr1.plumbing.makers import Changed, write_makers
from mmr1.plumbing.seal import SCHEMA_VERSION, sealed
from mmr1.report.index import Evaluation, Index, Round, Sft, Training
from mmr1.seeds import generator

MODEL, BENCHMARK, POOL = "tiny", "digits", 200
ITEMS = pa.schema([("id", pa.string()), ("official", pa.bool_()), ("reader", pa.bool_()), ("extracted", pa.string())])
START = datetime(2026, 1, 1, tzinfo=UTC)

Settings = dict[str, Any]


class SyntheticResults:
    """Writes `results/<recipe>` job by job, each with its record, and remembers the index of the report."""

    def __init__(self, root: Path, *, rounds: int = 2, steps: int = 6, seeds: Iterable[int] = (0,)) -> None:
        self.root, self.rounds, self.steps = root, rounds, steps
        self.clock = START
        self.made: dict[str, tuple[Path, str]] = {}  # output path to its record and its name
        self.problems = digits.make_problems("test", 40, seed=0, digits=digits.load(held_out=True))
        self.index = self._write(tuple(seeds))

    def _write(self, seeds: tuple[int, ...]) -> Index:
        problems = self.root / "data/problems.parquet"
        write_problems(problems, digits.make_problems("train", POOL, seed=0, digits=digits.load(held_out=False)))
        self.record("prepare_data", "data", {}, {"problems": [problems]}, seconds=2)
        held_out = self.root / f"data/benchmarks/{BENCHMARK}.parquet"
        write_problems(held_out, self.problems)
        self.record("prepare_benchmark", f"benchmarks/{BENCHMARK}", {}, {"problems": [held_out]})
        base = self._checkpoint(self.root / MODEL / "base", "base")
        self.record("build_tiny_model", MODEL, {}, {"out": files_under(base)})
        sft_checkpoint, sft_metrics = self._sft()
        evaluations = [
            self._evaluation("base", None, 0.0, held_out, base),
            self._evaluation("sft", None, 0.45, held_out, sft_checkpoint),
        ]
        trainings = []
        for run, gain in (("grpo", 0.55), ("vas", 0.62)):
            for seed in seeds:
                training, last = self._training(run, seed, problems, sft_checkpoint)
                trainings.append(training)
                evaluations.append(self._evaluation(run, seed, gain, held_out, last))
        return Index(
            recipe=self.root.name,
            results=self.root,
            labels={"grpo": "GRPO (uniform)", "vas": "VAS, λ = 0.5", "tiny": "Tiny Qwen2.5-VL", "digits": "Digits"},
            benchmarks={BENCHMARK: held_out},
            evaluations=tuple(evaluations),
            trainings=tuple(trainings),
            sft=(Sft(model=MODEL, metrics=sft_metrics),),
        )

    def _sft(self) -> tuple[Path, Path]:
        folder = self.root / MODEL / "sft"
        checkpoint, metrics = self._checkpoint(folder / "checkpoint", "sft"), folder / "metrics.jsonl"
        write_jsonl(metrics, [{"step": s, "loss": 3 * 0.9**s, "learning_rate": 1e-3} for s in range(30)])
        outputs = {"checkpoint": files_under(checkpoint), "metrics": [metrics]}
        self.record("train_sft", MODEL, {"problems": [self.root / "data/problems.parquet"]}, outputs, seconds=50)
        return checkpoint, metrics

    def _checkpoint(self, folder: Path, content: str) -> Path:
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"name": content}))
        (folder / "model.safetensors").write_bytes(content.encode() * 100)
        return folder

    def _training(self, run: str, seed: int, problems: Path, checkpoint: Path) -> tuple[Training, Path]:
        rounds = []
        for number in range(self.rounds):
            one, checkpoint = self._round(run, seed, number, problems, checkpoint)
            rounds.append(one)
        baseline = None if run == "grpo" else "grpo"
        return Training(model=MODEL, run=run, seed=seed, baseline=baseline, rounds=tuple(rounds)), checkpoint

    def _round(self, run: str, seed: int, number: int, problems: Path, model: Path) -> tuple[Round, Path]:
        place = f"{MODEL}/{run}/seed{seed}/round{number}"
        folder, weighted = self.root / place, run == "vas"
        scores = self._scores(place, number, seed, problems, model) if weighted else None
        steps = range(number * self.steps, (number + 1) * self.steps)
        random = generator(seed, "synthetic", run, number)
        files = {name: folder / f"{name}.jsonl" for name in ("metrics", "timings", "validation", "calibration")}
        write_jsonl(files["metrics"], [_metrics(step, weighted, random) for step in steps])
        write_jsonl(files["timings"], [{"step": s, "seconds_train": 1.5, "tokens_per_second": 900.0} for s in steps])
        write_jsonl(files["validation"], [_validation(step) for step in steps if step % 3 == 0])
        write_jsonl(files["calibration"], [_calibration(step, weighted, random) for step in steps])
        checkpoint = self._checkpoint(folder / "checkpoint", place)
        inputs = {"model": files_under(model), "problems": [problems], **({"scores": [scores]} if scores else {})}
        outputs = {"checkpoint": files_under(checkpoint), **{name: [path] for name, path in files.items()}}
        settings = {
            "mix": 0.5 if weighted else 0.0,
            "steps": self.steps,
            "first_step": steps[0],
            "group_size": 8,
            "long": "x" * 9000,
        }
        self.record("train_grpo", place, inputs, outputs, seconds=30, settings=settings)
        return Round(round=number, scores=scores, **files), checkpoint

    def _scores(self, place: str, number: int, seed: int, problems: Path, model: Path) -> Path:
        folder = self.root / place
        initial = self.root / MODEL / "initial/1a2b3c4d" / f"seed{seed}"
        rollouts, scores = (folder if number else initial) / "rollouts/0.parquet", folder / "scores.parquet"
        contracts.write(rollouts, [], contracts.ROLLOUTS)
        rule, name = ("generate", place) if number else ("generate_initial", f"{MODEL}/1a2b3c4d/seed{seed}")
        inputs = {"model": files_under(model), "problems": [problems]}
        made = {"rollouts": POOL * 2}
        self.record(rule, f"{name}/0", inputs, {"rollouts": [rollouts]}, seconds=8, program="generate", metrics=made)
        passed = np.clip(generator(seed, "pool", number).beta(1 + number, 2, POOL), 0, 1).round(3)
        rows = [
            {
                "problem_id": f"train-{i:05d}",
                "n": 8,
                "pass_rate": p,
                "ovs": p * (1 - p),
                "tds": 0.3 * (1 - p),
                "vps": 0.8 * p * (1 - p) + 0.06 * (1 - p),
            }
            for i, p in enumerate(passed.tolist())
        ]
        contracts.write(scores, rows, contracts.SCORES)
        self.record("score_vps", place, {"rollouts": [rollouts]}, {"out": [scores]}, seconds=1)
        return scores

    def _evaluation(
        self, subject: str, seed: int | None, accuracy: float, problems: Path, checkpoint: Path
    ) -> Evaluation:
        name = subject if seed is None else f"{subject}-seed{seed}"
        folder = self.root / MODEL / "eval" / name / BENCHMARK
        random = generator(seed or 0, "eval", subject)
        right = random.random(len(self.problems)) < accuracy
        predictions, items, scores = (folder / n for n in ("predictions.parquet", "items.parquet", "scores.json"))
        answers = zip(self.problems, right.tolist(), strict=True)
        contracts.write(predictions, [_prediction(problem, ok) for problem, ok in answers], contracts.ROLLOUTS)
        verdicts = zip(self.problems, right.tolist(), strict=True)
        rows = [{"id": problem.id, "official": ok, "reader": ok, "extracted": "?"} for problem, ok in verdicts]
        contracts.write(items, rows, ITEMS)
        share, n = float(right.mean()), len(right)
        half = 1.96 * (share * (1 - share) / n) ** 0.5
        score = {"correct": int(right.sum()), "accuracy": share, "ci95": [max(0, share - half), share + half]}
        score["by"] = {"task": self._by_task(right)}
        summary = {"benchmark": BENCHMARK, "n": n, "scores": {"official": score, "reader": score}}
        write_json(scores, {**summary, "extraction_failures": 0, "truncated": 0})
        place = f"{MODEL}/{name}/{BENCHMARK}"
        read = {"model": files_under(checkpoint), "problems": [problems]}
        self.record("generate_predictions", place, read, {"out": [predictions]}, 3, "generate")
        inputs = {"problems": [problems], "predictions": [predictions]}
        self.record("score_benchmark", place, inputs, {"out": [scores], "items": [items]}, seconds=1)
        return Evaluation(
            model=MODEL,
            subject=subject,
            seed=seed,
            benchmark=BENCHMARK,
            scores=scores,
            items=items,
            predictions=predictions,
        )

    def _by_task(self, right: np.ndarray) -> dict[str, dict[str, float]]:
        """The share of right answers to the problems of each task."""
        tasks = np.array([problem.metadata["task"] for problem in self.problems])
        found = {task: right[tasks == task] for task in sorted({*tasks.tolist()})}
        return {task: {"n": len(own), "accuracy": float(own.mean())} for task, own in found.items()}

    def hashed(self, path: Path) -> dict[str, Any]:
        """A file as records name it: seen from the folder in which the workflow runs."""
        return hashed(path, self.root)

    def record(
        self,
        rule: str,
        place: str,
        inputs: dict[str, list[Path]],
        outputs: dict[str, list[Path]],
        seconds: float = 1.0,
        program: str | None = None,
        settings: Settings | None = None,
        changed: Iterable[Changed] = (),
        metrics: dict[str, float] | None = None,
    ) -> Path:
        """Write the record of one job, in the form of mmr1.plumbing.record, one job after another in time."""
        path = self.root / "records" / rule / f"{place}.json"
        hashed = {name: [self.hashed(file) for file in files] for name, files in inputs.items()}
        written = {name: [self.hashed(file) for file in files] for name, files in outputs.items()}
        made_by = [self.made[str(file)] for files in inputs.values() for file in files if str(file) in self.made]
        parents = [{"record": str(record), "name": known} for record, known in dict.fromkeys(made_by)]
        end = self.clock + timedelta(seconds=seconds)
        key = {
            "rule": rule,
            "wildcards": place,
            "program": program or rule,
            "params": {"seed": 0, "long": "y" * 9000},
            "settings": settings,
            "inputs": hashed,
            "code": {"sha256": "c" * 64, "files": {}},
        }
        record = {
            "schema_version": SCHEMA_VERSION,
            "name": digest({"key": key, "outputs": written}),
            "key": key,
            "outputs": written,
            "parents": parents,
            "sources": [],
            "changed_inputs": [asdict(one) for one in changed],
            "metrics": {"seconds_of_work": seconds, **(metrics or {})},
            "notes": {},
            "execution": self._execution(end, seconds),
        }
        write_makers([file for files in outputs.values() for file in files], path)
        write_json(path, sealed(record))
        self.made |= {str(file): (path, record["name"]) for files in outputs.values() for file in files}
        self.clock = end
        return path

    def _execution(self, end: datetime, seconds: float) -> dict[str, Any]:
        return {
            "start": self.clock.isoformat(),
            "end": end.isoformat(),
            "seconds": seconds,
            "cpu_seconds": seconds * 1.8,
            "peak_memory_mib": 700.0,
            "argv": ["scripts/x.py"],
            "git": {"commit": "a" * 40, "dirty": None},
            "gpu": [],
            "environment": {"sha256": "e" * 64, "python": "3.11.2", "packages": {"torch": "2.9.0"}},
            "host": "host",
            "user": "user",
            "pid": 1,
            "cpu": "x86_64",
            "cpus": 2,
            "slurm": {},
        }


def hashed(path: Path, root: Path) -> dict[str, Any]:
    """A file's path as `results/<recipe>/…`, its sha256 and its size."""
    return {
        "path": f"results/{root.name}/{path.relative_to(root)}",
        "sha256": sha256(path),
        "bytes": path.stat().st_size,
    }


def _metrics(step: int, weighted: bool, random: np.random.Generator) -> dict[str, Any]:
    low, high = random.uniform(0, 0.01, 2).tolist()
    noise = random.normal(0, 0.02, 8).tolist()
    return {
        "step": step,
        "reward_mean": 1.45 + step / 100 + noise[0],
        "reward_format": 0.97,
        "reward_accuracy": 0.5 + step / 150 + noise[1],
        "group_std": 0.3 + noise[2],
        "zero_variance_share": (0.35 if weighted else 0.55) + noise[3],
        "gradient_norm": (0.35 if weighted else 0.25) + noise[4],
        "clip_fraction_low": low,
        "clip_fraction_high": high,
        "clip_fraction": low + high,
        "kl": 0.001 * step + abs(noise[5]) / 100,
        "entropy": 0.4 - step / 200 + noise[6],
        "response_length_mean": 45 + 10 * noise[7],
        "response_length_max": 64,
        "truncated_share": 0.0,
        "learning_rate": 3e-4,
        "loss": noise[0],
        "logprob_difference_mean": 0.001,
        "logprob_ratio_max": 1.2,
        "logprobs_differing": 0.0,
    }


def _validation(step: int) -> dict[str, Any]:
    kinds = {"sum": 0.2, "a/b <max>": 0.7 + step / 100}
    return {"step": step, "accuracy": 0.45 + step / 200, "n": 40, "by": {"task": kinds}}


def _calibration(step: int, weighted: bool, random: np.random.Generator) -> dict[str, Any]:
    noise = random.normal(0, 0.05, 3).tolist()
    row: dict[str, Any] = {
        "step": step,
        "groups": 8,
        "groups_uniform": 4 if weighted else 8,
        "zero_variance": (0.35 if weighted else 0.5) + (noise[0] + noise[1]) / 2,
        "zero_variance_weighted": 0.2 + noise[0] if weighted else None,
        "zero_variance_uniform": 0.5 + noise[1],
        "ovs_correlation": 0.5 + noise[2] if weighted else None,
        "effective_share": 0.6 if weighted else None,
        "coverage": 1 - 0.9 ** (step + 1),
    }
    for bin in range(5):
        middle = 0.05 * bin + 0.025
        row[f"curve_{bin}_predicted"] = middle if weighted else None
        row[f"curve_{bin}_realised"] = 0.8 * middle + noise[0] / 10 if weighted else None
        row[f"curve_{bin}_groups"] = 4 + bin if weighted else None
    return row


def _prediction(problem: Problem, right: bool) -> dict[str, Any]:
    answer = problem.answer if right else str(int(problem.answer) + 1)
    return {
        "problem_id": problem.id,
        "rollout": 0,
        "seed": 0,
        "token_ids": [1, 2, 3],
        "text": f"<think>{problem.metadata['labels']}</think><answer>\\boxed{{{answer}}}</answer>",
        "finish_reason": "stop",
        "logprob": -0.1,
    }

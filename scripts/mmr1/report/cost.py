"""What it cost, from the records: time, processors, memory and GPUs by stage, and VPS passes beside training.

A job that went on where earlier attempts had stopped cost their time too. It is known of those that could say when they
ended (at a time limit, or when cancelled); a job that was killed outright says nothing.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

from mmr1.provenance.ledger import Execution, Record

TRAINING, SCORING = "train_grpo", "score_vps"


@dataclass(frozen=True)
class StageCost:
    """One rule's jobs together, with their earlier attempts.

    `gpu_hours` counts every GPU that a job was given, on all its nodes; None if no job had any. `gpu_utilization` is
    in percent, the mean over those hours; None where no record tells.
    """

    rule: str
    jobs: int
    seconds: float
    cpu_hours: float
    gpu_hours: float | None
    gpu_utilization: float | None
    peak_memory_gib: float


@dataclass(frozen=True)
class PassCost:
    """One run's VPS passes (rollouts and scores) beside its training: seconds of jobs, and GPU hours (0 for none)."""

    run: str
    vps_seconds: float
    vps_gpu_hours: float
    training_seconds: float
    training_gpu_hours: float

    @property
    def share(self) -> float:
        """VPS passes as a share of training, in GPU hours where it had GPUs, else in time; 0 for a run without any."""
        if self.training_gpu_hours:
            return self.vps_gpu_hours / self.training_gpu_hours
        return self.vps_seconds / self.training_seconds


def by_stage(records: Iterable[Record]) -> list[StageCost]:
    """One row per rule, in the order in which the rules first ended."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        groups[record.rule].append(record)
    return [_stage(rule, group) for rule, group in groups.items()]


def total(stages: Iterable[StageCost]) -> StageCost:
    """The sum over stages; the memory is the largest."""
    rows = list(stages)
    busy = [(row.gpu_hours, row.gpu_utilization) for row in rows if row.gpu_hours is not None]
    return StageCost(
        rule="all",
        jobs=sum(row.jobs for row in rows),
        seconds=sum(row.seconds for row in rows),
        cpu_hours=sum(row.cpu_hours for row in rows),
        gpu_hours=sum(hours for hours, _ in busy) if busy else None,
        gpu_utilization=_weighted_mean(busy),
        peak_memory_gib=max(row.peak_memory_gib for row in rows),
    )


def vps_passes(records: Iterable[Record]) -> list[PassCost]:
    """One row a `model/run/seedS` that trained. Rollouts that runs share count for each run that uses them."""
    known = {record.name: record for record in records}
    training: dict[str, dict[str, Execution]] = defaultdict(dict)
    scoring: dict[str, dict[str, Execution]] = defaultdict(dict)
    for record in known.values():
        if record.key.program == TRAINING:
            training[_run(record.place)][record.name] = record.execution
        elif record.key.program == SCORING:
            makers = [known[parent.name] for parent in record.parents if parent.name in known]
            for one in (record, *(maker for maker in makers if maker.key.program == "generate")):
                scoring[_run(record.place)][one.name] = one.execution
    return [
        PassCost(run, *_seconds_and_gpu_hours(scoring[run].values()), *_seconds_and_gpu_hours(jobs.values()))
        for run, jobs in training.items()
    ]


def pass_rollouts(records: Iterable[Record]) -> dict[str, int]:
    """How many responses were sampled for the scores of each round, by `model/run/seedS/roundR`.

    Scores that are made from training's own rollouts cost none. Rollouts that runs share count for each of them.
    """
    known = {record.name: record for record in records}
    return {
        str(record.place): sum(
            int(known[name].metrics.get("rollouts") or 0)
            for name in {parent.name for parent in record.parents}
            if name in known and known[name].key.program == "generate"
        )
        for record in known.values()
        if record.key.program == SCORING
    }


def group_sizes(records: Iterable[Record]) -> dict[str, int]:
    """How many responses each problem of a round's training had, by `model/run/seedS/roundR`, where records tell."""
    settings = {str(one.place): one.key.settings for one in records if one.key.program == TRAINING}
    return {place: one["group_size"] for place, one in settings.items() if one and "group_size" in one}


def seconds(execution: Execution) -> float:
    """How long a job ran, over all its attempts that say when they ended."""
    spans = [(one["start"], one["end"]) for one in execution.earlier if one.get("end")]
    earlier = [datetime.fromisoformat(end) - datetime.fromisoformat(start) for start, end in spans]
    return execution.seconds + sum(span.total_seconds() for span in earlier)


def _seconds_and_gpu_hours(jobs: Iterable[Execution]) -> tuple[float, float]:
    executions = list(jobs)
    return sum(map(seconds, executions)), sum(hours for one in executions for hours, _ in _gpu_hours(one))


def _gpu_hours(execution: Execution) -> list[tuple[float, float | None]]:
    """The hours and utilization of each GPU of one of the job's nodes; the hours are those of all its nodes."""
    hours = seconds(execution) * execution.nodes / 3600
    return [(hours, gpu.get("utilization")) for gpu in execution.gpu]


def _stage(rule: str, group: list[Record]) -> StageCost:
    executions = [record.execution for record in group]
    gpus = [gpu for one in executions for gpu in _gpu_hours(one)]
    return StageCost(
        rule=rule,
        jobs=len(group),
        seconds=sum(map(seconds, executions)),
        cpu_hours=sum(one.cpu_seconds for one in executions) / 3600,
        gpu_hours=sum(hours for hours, _ in gpus) if gpus else None,
        gpu_utilization=_weighted_mean(gpus),
        peak_memory_gib=max(one.peak_memory_mib for one in executions) / 1024,
    )


def _weighted_mean(busy: Iterable[tuple[float, float | None]]) -> float | None:
    """The mean utilization over (hours, utilization) of those that tell; None if none does."""
    told = [(hours, share) for hours, share in busy if share is not None and hours > 0]
    return sum(hours * share for hours, share in told) / sum(hours for hours, _ in told) if told else None


def _run(place: PurePosixPath) -> str:
    return "/".join(place.parts[:3])

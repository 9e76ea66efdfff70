"""Snakemake's jobs as planned ones. The one module here that knows what Snakemake's objects are like."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmr1.models.settings import HubModel, LocalBase, TinyBase
from mmr1.models.shapes import Shape, shape_of, tiny_shape
from mmr1.plan.memory import GPU_BYTES, peak
from mmr1.plan.summary import PlannedJob
from mmr1.plan.work import Lengths, Planner, stage_of
from mmr1.plumbing.files import read_json
from mmr1.recipe import Recipe


def planned_jobs(
    dag: Any, names: Mapping[str, Any], lengths: Lengths, device_bytes: int = GPU_BYTES, measured: bool = False
) -> tuple[list[PlannedJob], list[str]]:
    """Every job of a graph with what it does, in an order in which none stands before what it waits for.

    Then what no number is known of yet: jobs count as if it were nothing.

    `device_bytes` is the memory of a GPU. `names` are the workflow's: RECIPE, and INITIAL_RUNS, which says a run that
    rollouts of round 0 belong to.
    """
    recipe: Recipe = names["RECIPE"]
    planner = Planner(recipe, shapes(recipe), lengths, measured)
    jobs = [job for level in dag.toposorted() for job in level if job.rule.shellcmd is not None]
    return [_planned(job, dag, planner, names["INITIAL_RUNS"], device_bytes) for job in jobs], sorted(planner.unknown)


def shapes(recipe: Recipe) -> dict[str, Shape]:
    """The shapes of the recipe's models: of a released size, of a folder, or of a tiny model; others are left out."""
    known = {}
    for name, model in recipe.models.items():
        family, base = model.model_family.module.FAMILY, model.base
        if isinstance(base, TinyBase):
            known[name] = tiny_shape(base.tiny)
        elif isinstance(base, LocalBase) and (base.path / "config.json").is_file():
            known[name] = shape_of(read_json(base.path / "config.json"), family)
        elif isinstance(base, HubModel) and base.hub in family.RELEASED:
            known[name] = shape_of(family.RELEASED[base.hub], family)
    return known


def _planned(
    job: Any, dag: Any, planner: Planner, initial_runs: Mapping[tuple[str, str], str], device_bytes: int
) -> PlannedJob:
    wildcards = job.wildcards
    model = getattr(wildcards, "model", "")
    run = getattr(wildcards, "run", None) or initial_runs.get((model, getattr(wildcards, "key", "")))
    nodes = int(_number(job, "nodes") or 1)
    gpus = int(_number(job, "gpu") or _number(job, "gres") or 0) * nodes
    stage = stage_of(job.rule.name) or "other"
    shape = planner.shapes.get(model)
    return PlannedJob(
        name=_name(job),
        rule=job.rule.name,
        model=model,
        run=getattr(wildcards, "run", "") or getattr(wildcards, "subject", ""),
        stage=stage,
        gpus=gpus,
        threads=int(job.threads),
        minutes=float(_number(job, "runtime") or 0),
        work=planner.work(job.rule.name, model, run, wildcards),
        memory=peak(stage, planner.recipe.resolve(model, run), shape, gpus, nodes, device_bytes) if shape else 0,
        after=[_name(other) for other in dag.dependencies[job]],
        due=bool(dag.needrun(job)),
        weights=shape.total if shape else 0,
    )


def _name(job: Any) -> str:
    """A job's record, which no other has; of a rule without one, its first file."""
    record = getattr(job.output, "record", None) or next(iter(job.output), job.rule.name)
    return Path(str(record)).as_posix()


def _number(job: Any, resource: str) -> float | None:
    """A resource as a number: 8 of 8, and of "gpu:8"; None where the job does not ask for it."""
    value = job.resources.get(resource)
    if value is None:
        return None
    return float(str(value).rpartition(":")[2])

"""Take over results whose `.snakemake` was lost, or that came from another checkout: what agrees counts as made.

Words are Snakemake's: profile, recipe, targets. Each job's record is compared with the recipe, the code and the files.
Where all agree, Snakemake is told that the job is done; each other job is named in a line and stays due, and so does
what follows from it. Nothing is computed. Runs in the driver's environment.
"""

import argparse
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from snakemake import cli
from snakemake.api import DAGApi
from snakemake.exceptions import LockException
from snakemake.persistence import RECORD_FORMAT_VERSION, MetadataRecord
from snakemake.settings.types import ExecutionSettings, RemoteExecutionSettings

from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.settings import given
from mmr1.provenance.adoption import Planned, disagreement, made_files, restore_digest_files, without


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_known_args()  # --help
    # Snakemake reads its profile and the recipe as in any call, and hands over where it would begin to work.
    DAGApi.execute_workflow = lambda self, **_: adopt(self.workflow_api._workflow)
    snakemakes_parser, args = cli.parse_args(["--dry-run", "--quiet=all", *sys.argv[1:]])
    if not cli.args_to_api(args, snakemakes_parser):
        sys.exit(1)


def adopt(workflow: Any) -> None:
    """Compare every job of the workflow with its record, and write down in `.snakemake` what was found."""
    build(workflow)
    jobs = recorded_jobs(workflow)
    plans = {job: planned(job) for job in jobs}
    made = made_files(Path(plan.record) for plan in plans.values() if Path(plan.record).is_file())
    reasons = {job: disagreement(plan, made) for job, plan in plans.items()}
    try:
        with workflow.persistence.lock():
            for job in jobs:
                if reasons[job] is None:
                    restore_digest_files(plans[job])
            workflow.iocache.deactivate()  # it remembers what was not there before
            for job, reason in reasons.items():
                if reason is None:
                    workflow.async_run(workflow.persistence.finished(job))
                else:
                    leave_due(workflow.persistence, job, reason)
    except LockException:
        raise UserError(".snakemake is locked: Snakemake runs here, or was killed (then --unlock first)") from None
    say(reasons)


def plan_all(words: list[str]) -> list[Planned]:
    """Every job of the workflow that leaves a record, as Snakemake, called with these words, would start it now."""
    plans: list[Planned] = []

    def keep(workflow: Any) -> None:
        build(workflow)
        plans.extend(planned(job) for job in recorded_jobs(workflow))

    DAGApi.execute_workflow = lambda self, **_: keep(self.workflow_api._workflow)
    snakemakes_parser, args = cli.parse_args(["--dry-run", "--quiet=all", *words])
    if not cli.args_to_api(args, snakemakes_parser):
        sys.exit(1)
    return plans


def build(workflow: Any) -> None:
    """Have a workflow build its graph."""
    workflow.execution_settings, workflow.remote_execution_settings = ExecutionSettings(), RemoteExecutionSettings()
    workflow._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True)
    workflow._build_dag()


def recorded_jobs(workflow: Any) -> list[Any]:
    """The jobs of a built graph that leave a record, in an order in which none stands before what it waits for."""
    return [job for level in workflow.dag.toposorted() for job in level if hasattr(job.output, "record")]


def planned(job: Any) -> Planned:
    """A job of Snakemake's as it would be started, in words that a record can be compared with."""
    # Values that only fit a machine come from resources; the log is the shell's.
    machine = re.findall(r"(--[\w-]+) \{resources\.", job.rule.shellcmd)
    ignored = (*machine, "--settings", "--record", "--attempt", "--live")
    command = job.format_wildcards(job.rule.shellcmd.rpartition(" > ")[0])
    words = shlex.split(re.sub(r"\$\{SLURM_JOB_ID:\+[^}]*\}", "", command).partition(".py ")[2])
    settings = getattr(job.params, "settings", None)
    return Planned(
        rule=job.rule.name,
        record=str(job.output.record),
        code=str(job.params.code),
        settings=None if settings is None else given(str(settings), "--settings"),
        words=tuple(without(words, ignored)),
        ignored=ignored,
        inputs=tuple(map(str, job.input)),
        outputs=tuple(map(str, job.output)),
        temporary=frozenset(map(str, job.temp_output)),
    )


def leave_due(persistence: Any, job: Any, reason: str) -> None:
    """Have Snakemake see a job as changed: with no notes at all it would go by times."""
    for file in job.output:
        if not Path(file).exists():
            continue  # it is due as it is
        note = MetadataRecord(
            rule=job.rule.name, record_format_version=RECORD_FORMAT_VERSION, params=[f"not adopted: {reason}"]
        )
        persistence._write_record(persistence._get_key(file), note)
        persistence._unmark_incomplete(persistence._get_key(file))


def say(reasons: dict[Any, str | None]) -> None:
    """A line for each job that stays due, one for all of them that have the same reason without a file's name."""
    alike: dict[str, list[str]] = {}
    for job, reason in reasons.items():
        if reason is not None:
            name = Path(job.output.record).with_suffix("").as_posix().partition("/records/")[2]
            alike.setdefault(reason, []).append(name)
    for reason, jobs in alike.items():
        together = "no record" in reason or "schema" in reason
        for line in [f"{len(jobs)} jobs" if len(jobs) > 1 else jobs[0]] if together else jobs:
            print(f"left due: {line}: {reason}")
    adopted = sum(reason is None for reason in reasons.values())
    print(f"adopted {adopted} of {len(reasons)} jobs")


if __name__ == "__main__":
    run(main)

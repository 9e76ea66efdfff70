"""From a result to its sources: is each file what its record says, and has anything changed since?

    python scripts/audit.py results/digits/tables/accuracy.csv      # what made it, and does all of it still agree?
    python scripts/audit.py results/digits --full                   # everything, every byte

What is found agrees, differs harmlessly (plumbing, a comment, another lock or machine: said), or differs, with the
command after which the audit is clean. The exit code is 1 if anything differs, 2 for a target without records. A quick
audit trusts files whose size, time and inode are as in the audit before; docs/audit.md says what else it passes over.
`--full` reads every byte, compares the environments' files with their packages' own hashes, asks the workflow what it
would ask of each job now, and compares MLflow with the records. Runs in the driver's environment, from anywhere.
"""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from mmr1.plumbing.code import SCRIPTS
from mmr1.plumbing.errors import UserError, run
from mmr1.plumbing.files import read_json
from mmr1.plumbing.makers import CALL
from mmr1.provenance.adoption import Planned, asked_otherwise
from mmr1.provenance.audit.archive import METADATA, Archive, Job
from mmr1.provenance.audit.audit import audit, target_of
from mmr1.provenance.audit.findings import Finding, Verdict, differs, harmless
from mmr1.provenance.audit.git import restoring
from mmr1.provenance.audit.hashes import hash_of
from mmr1.provenance.audit.kept import RECIPE, freeze
from mmr1.provenance.audit.report import as_json, lines
from mmr1.provenance.tracking import EXPORTED

CHECKOUT = SCRIPTS.parent


def main() -> None:
    args = parse_arguments()
    target = target_of(args.target)
    if args.freeze:
        print(freeze(target))
        return
    os.chdir(CHECKOUT)  # as jobs do
    if call := kept_call(target):
        os.environ.setdefault(CALL, call)
    listed = None if args.frozen is None else target_of(args.frozen)
    done = audit(target, CHECKOUT, args.full, listed, questions=(ask_workflow, ask_mlflow))
    if args.json:
        print(json.dumps(as_json(done), indent=2))
    else:
        print("\n".join(lines(done)))
    sys.exit(done.verdict is Verdict.DIFFERS)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", metavar="FILE", help="a result, a folder, or a results folder: then everything in it")
    parser.add_argument("--full", action="store_true", help="read every byte; ask environments, workflow and MLflow")
    parser.add_argument("--json", action="store_true", help="what was found as JSON")
    parser.add_argument(
        "--frozen", metavar="LIST", help="hashes that anchor the records (default: FILE's records.sha256)"
    )
    parser.add_argument("--freeze", action="store_true", help="write records.sha256 for the results folder FILE")
    return parser.parse_args()


def kept_call(target: Path) -> str | None:
    """How Snakemake was last called for these results: with which profile, recipe and values."""
    for folder in (target, *target.parents):
        if (folder / RECIPE).is_file():
            try:
                call = read_json(folder / RECIPE)["call"]
            except (UserError, KeyError, TypeError):
                return None
            return call if isinstance(call, str) else None
    return None


def ask_workflow(archive: Archive, jobs: list[Job]) -> Iterator[Finding]:
    """What the workflow would ask of each job now, other than its record says: by the recipe or by the rule."""
    plans, problem = planned(shlex.split(os.environ.get(CALL, ""))[1:])
    if problem:
        yield differs("the workflow", problem, restored_workflow(archive, jobs))
        return
    for job in jobs:
        plan = plans.get(job.path.absolute())
        if plan is None:
            yield harmless(archive.shown(job.path), "the recipe asks for no such job any more", job=job.name)
        elif differences := asked_otherwise(plan, job.record):
            remedy = restored_workflow(archive, [job]) or f"{job.again} --config redo=true"
            yield differs(f"recipe or rule of {job.key['rule']}", differences, remedy, job.name)


def planned(words: list[str]) -> tuple[dict[Path, Planned], str]:
    """Every job of the workflow as it would be started now, by where its record lies; or why nobody can say."""
    from adopt import plan_all

    said = StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            plans = plan_all([*words, "--", "all"])
    except (SystemExit, Exception) as error:  # a broken rule file raises whatever it likes
        text = said.getvalue().strip().splitlines()
        return {}, text[-1] if text else f"{type(error).__name__}: {error}"
    return {Path(plan.record).absolute(): plan for plan in plans}, ""


def restored_workflow(archive: Archive, jobs: list[Job]) -> str:
    """The commands that give the recipe and the workflow's files back the text that these jobs were started by."""
    texts = {file: value for job in jobs for file, value in job.execution.get("texts", {}).items()}
    expected = {file: value for file, value in texts.items() if not file.startswith("scripts/")}
    try:
        kept = read_json(archive.results / RECIPE)
        expected |= {kept["file"]: kept["sha256"]}
    except (UserError, KeyError, TypeError):
        pass
    hashes = {file: hash_of(archive.checkout / file) for file in expected}
    changed = [file for file in sorted(expected) if hashes[file] != expected[file]]
    return "; ".join(filter(None, (restoring(archive.checkout, file, expected[file]) for file in changed)))


def ask_mlflow(archive: Archive, jobs: list[Job]) -> Iterator[Finding]:
    """What MLflow shows otherwise than the records."""
    exported = archive.results / EXPORTED
    if not exported.is_file():
        yield harmless("MLflow", "the results were not exported into it")
        return
    from mmr1.provenance.ledger import read_records
    from mmr1.provenance.tracking.compare import shown_differently
    from mmr1.provenance.tracking.export import EXPORTER
    from mmr1.provenance.tracking.store import DATABASE, uri_written

    uri = uri_written(read_json(exported)["tracking_uri"], archive.results)
    beside = archive.results / DATABASE
    if uri.endswith(str(beside)) and (archive.results / METADATA).is_file() and not beside.is_file():
        yield harmless("MLflow", "these results came as a crate, without its database")
        return
    try:
        records = [one for one in read_records(archive.results) if one.key.program != EXPORTER]
    except UserError:
        return  # a damaged record is a finding of its own
    wanted = {job.name for job in jobs}
    remedy = f"MMR1_MLFLOW=anew {archive.again(exported)}"
    try:
        for thing, problem in shown_differently(archive.results, uri, records):
            if thing in wanted or len(jobs) == len(archive.jobs):
                yield differs(f"MLflow: {thing}", problem, remedy)
    except UserError as error:
        yield differs("MLflow", str(error), remedy if uri.startswith("sqlite:") else "")


if __name__ == "__main__":
    run(main)

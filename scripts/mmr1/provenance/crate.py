"""A results folder as a Workflow Run RO-Crate: what others need to check it, and the hashes of what stays elsewhere.

The crate is the results folder without weights, optimizer states, large tables and MLflow's database. Those files stand
in it by their sha256 (`ni:` names, RFC 6920) and in `elsewhere.sha256`, which `sha256sum --check` reads. Each record is
a `CreateAction` whose instrument is the program that ran, with the files that it read and made (Provenance Run Crate
0.5, https://w3id.org/ro/wfrun/provenance/0.5; RO-Crate 1.1). Unpacked where `results/NAME` was, beside what is
elsewhere, it is a results folder again, and `audit --full` checks it.
"""

import base64
import json
from pathlib import Path
from typing import Any

from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import atomic, files_under, sha256
from mmr1.provenance.audit.archive import Archive, File, Job

PROFILES = (
    "https://w3id.org/ro/wfrun/process/0.5",
    "https://w3id.org/ro/wfrun/workflow/0.5",
    "https://w3id.org/ro/wfrun/provenance/0.5",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
)
# Of what lies in a results folder: what jobs leave behind and nobody audits.
LEFT = ("work", "mlflow.db", "mlflow.db.lock", "mlflow-artifacts", "mlflow.lock", ".audit.json")
WEIGHTS = (".safetensors", ".bin", ".pt")
OWN = "ro-crate"  # the folder of what comes from the checkout
ELSEWHERE = "elsewhere.sha256"


def export_crate(results: Path, checkout: Path, out: Path, largest: int) -> dict[str, int]:
    """Write the crate of a results folder as a zip; returns how many files are in it and elsewhere, and its bytes.

    Files of more than `largest` bytes stay elsewhere. Raises UserError for a damaged record: a crate of what cannot be
    believed would look as if it could.
    """
    archive = Archive(results, checkout)
    if archive.damaged:
        raise UserError(next(iter(archive.damaged.values())))
    if not archive.jobs:
        raise UserError(f"{results}: expected a results folder with records, found none")
    elsewhere = stays_elsewhere(archive, largest)
    crate = Crate(archive, elsewhere, out)
    with atomic(out) as file:
        crate.write(file)
    return {"files": len(crate.files), "elsewhere": len(elsewhere), "bytes": out.stat().st_size}


def stays_elsewhere(archive: Archive, largest: int) -> dict[str, str]:
    """The places of outputs that do not travel, with their sha256: folders with weights, states, and large files."""
    found = {}
    for job in archive.jobs.values():
        with_weights = [
            folder
            for folder in job.folders
            if any(place.startswith(f"{folder}/") and place.endswith(WEIGHTS) for place in job.made)
        ]
        for place, digest in job.made.items():
            path = archive.results / place
            heavy = any(place.startswith(f"{folder}/") for folder in with_weights) or place.endswith(WEIGHTS)
            stays = heavy or not path.is_file() or path.stat().st_size > largest
            if stays and not job.is_gone_for_good(place):
                found[place] = digest
    return found


class Crate:
    """The entities of a crate, made from the records."""

    def __init__(self, archive: Archive, elsewhere: dict[str, str], out: Path) -> None:
        self.archive, self.elsewhere, self.out = archive, elsewhere, out
        self.crate = ROCrate(version="1.1")
        self.files: dict[str, Any] = {}
        self._described: dict[str, Any] = {}
        self._whole()
        self._workflow()
        for job in archive.jobs.values():
            self._action(job)

    def write(self, out: Path) -> None:
        """Write it as a zip file."""
        self.crate.write_zip(out)

    def _whole(self) -> None:
        root, results = self.crate.root_dataset, self.archive.results
        root["name"] = f"Results {results.name}: MMR1 with variance-aware sampling"
        root["description"] = (
            f"{len(self.archive.jobs)} jobs of the reproducibility package of MMR1 (arXiv 2509.21268): their records, "
            f"tables, figures and what they were made from. {len(self.elsewhere)} files are elsewhere: {ELSEWHERE}."
        )
        root["license"] = self._entity(
            "#licences", "CreativeWork", name="The code's is Apache-2.0; data and weights have those of their sources"
        )
        self.crate.datePublished = max(job.end for job in self.archive.jobs.values())
        profiles = [self._entity(profile, "CreativeWork", name=profile) for profile in PROFILES]
        root["conformsTo"] = profiles[:3]
        self.crate.metadata["conformsTo"] = [
            {"@id": "https://w3id.org/ro/crate/1.1"}, {"@id": PROFILES[-1]},
        ]  # fmt: skip
        makers = {place: job for job in self.archive.jobs.values() for place in job.made}
        for path in files_under(results):
            place = path.relative_to(results).as_posix()
            left = place.split("/")[0] in LEFT or path.suffix == ".lock" or path.absolute() == self.out.absolute()
            if not left and place not in self.elsewhere:
                if place in makers:
                    _check(path, makers[place].made[place], makers[place])
                self.files[place] = self.crate.add_file(path, place, properties={"name": place})
        text = "".join(f"{digest}  {place}\n" for place, digest in sorted(self.elsewhere.items()))
        self.files[ELSEWHERE] = self.crate.add_file(_text(text), ELSEWHERE, properties={"name": "what is elsewhere"})

    def _workflow(self) -> None:
        """The workflow, its rules as steps, and its programs as tools; the locks of the environments beside them."""
        checkout = self.archive.checkout
        self.workflow = self.crate.add_workflow(
            checkout / "Snakefile",
            f"{OWN}/Snakefile",
            main=True,
            lang="snakemake",
            properties={
                "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
                "name": "the workflow",
                "license": {"@id": "https://spdx.org/licenses/Apache-2.0"},
            },
        )
        for path in sorted([*checkout.glob("workflow/**/*.smk"), *checkout.glob("envs/*.lock")]):
            place = f"{OWN}/{path.relative_to(checkout).as_posix()}"
            self.files[place] = self.crate.add_file(path, place, properties={"name": path.name})
        self.steps: dict[str, Any] = {}
        self.tools: dict[str, Any] = {}
        for job in self.archive.jobs.values():
            program, rule = job.key["program"], job.key["rule"]
            if program not in self.tools:
                self.tools[program] = self._entity(f"#program/{program}", "SoftwareApplication", name=f"{program}.py")
            if rule not in self.steps:
                step = self._entity(f"#rule/{rule}", "HowToStep", name=rule, workExample=self.tools[program])
                self.steps[rule] = step
        self.workflow["hasPart"] = list(self.tools.values())
        self.workflow["step"] = list(self.steps.values())
        run = self._run()
        engine = self._entity("#snakemake", "SoftwareApplication", name="Snakemake")
        self._organized = self._entity(
            "#orchestration", "OrganizeAction", name="Snakemake's call", instrument=engine, result=run
        )

    def _run(self) -> Any:
        """The run as a whole: from what no job of it made to what no job of it read."""
        jobs = self.archive.jobs.values()
        read = {file.place for job in jobs for file in job.inputs}
        made = {place for job in jobs for place in job.made}
        sources = {file.path: file for job in jobs for file in job.inputs if file.place not in made}
        results = [file for job in jobs for file in job.outputs if file.place not in read]
        run = self._entity(
            "#run",
            "CreateAction",
            name=f"The run of {self.archive.results.name}",
            instrument=self.workflow,
            object=[self._file(file) for file in sources.values()],
            result=[self._file(file) for file in results],
            startTime=min(job.execution["start"] for job in jobs),
            endTime=max(job.end for job in jobs),
        )
        self.crate.root_dataset["mentions"] = [run]
        return run

    def _action(self, job: Job) -> None:
        """A record: what ran, when, with which settings and environment, on what, and what it made."""
        record = job.path.relative_to(self.archive.results).as_posix()
        lock = job.execution.get("lock")
        environment = {} if lock is None else {"environment": [self._setting("lock", lock["name"], lock["sha256"])]}
        action = self._entity(
            f"#job/{job.key['rule']}/{job.key['wildcards']}",
            "CreateAction",
            name=job.name,
            description=f"sha256 of the key {job.record['name']}; code {job.key['code']['sha256']}",
            instrument=self.tools[job.key["program"]],
            object=[*map(self._file, job.inputs), self._setting("settings", job.name, job.key["settings"])],
            result=[self._file(file) for file in job.outputs],
            startTime=job.execution["start"],
            endTime=job.end,
            subjectOf=self.files[record],
            **environment,
        )
        control = self._entity(
            f"#control/{job.key['rule']}/{job.key['wildcards']}",
            "ControlAction",
            name=f"Snakemake runs {job.name}",
            instrument=self.steps[job.key["rule"]],
            object=action,
        )
        self._organized.append_to("object", control)
        self.crate.root_dataset.append_to("mentions", action)

    def _file(self, file: File) -> Any:
        """The entity of a file: in the crate, or elsewhere by its hash."""
        if file.place in self.files:
            entity = self.files[file.place]
            entity["sha256"] = file.sha256
            return entity
        name = base64.urlsafe_b64encode(bytes.fromhex(file.sha256)).rstrip(b"=").decode()
        return self._entity(f"ni:///sha-256;{name}", "CreativeWork", name=file.place or file.path, sha256=file.sha256)

    def _setting(self, name: str, of: str, value: Any) -> Any:
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        return self._entity(f"#{name}/{of}", "PropertyValue", name=name, value=text)

    def _entity(self, place: str, kind: str, **properties: Any) -> Any:
        """The entity that is called `place`, made once."""
        if place not in self._described:
            entity = self.crate.add(ContextEntity(self.crate, place.replace(" ", "/"), properties={"@type": kind}))
            for key, value in properties.items():
                entity[key] = value
            self._described[place] = entity
        return self._described[place]


def _check(path: Path, expected: str, job: Job) -> None:
    """Raises UserError for a file that is not what its record tells of: a crate says what records say."""
    if sha256(path) != expected:
        raise UserError(f"{path}: not what the record of {job.name} tells of; make it again: {job.again}")


def _text(text: str) -> Any:
    from io import StringIO

    return StringIO(text)

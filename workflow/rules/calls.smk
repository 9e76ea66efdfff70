# What a call of Snakemake would do to results that are there. No rule here.
import atexit
import os

from mmr1.plan.from_dag import planned_jobs
from mmr1.plan.summary import Speeds, line as one_line
from mmr1.plan.work import Lengths

kept_values = cache(partial(training_values, RECIPE))


def tables_unless_swallowed(wildcards):
    """Every table; but where --forcerun took a target for a rule, nobody asked for all."""
    targets = {one.name for one in workflow.rules if one.shellcmd is None} - {"all"}
    if swallowed := sorted(targets & {*map(str, workflow.dag_settings.forcerun)}):
        refuse(f"--forcerun took {swallowed[0]} for a rule; give targets after --")
    return all_tables(wildcards)


def trainings(dag):
    """The trainings of a call, by the names of their records: what each reads of the recipe, and whether it is due."""
    return {
        str(job.output.record): (
            kept_values(job.wildcards.model, getattr(job.wildcards, "run", None)),
            dag.needrun(job),
        )
        for job in dag.jobs
        if job.rule.name.startswith("train_")
    }


def redone(dag):
    """What is said of a call that would redo finished training because the recipe differs; None of any other."""
    due = {
        record: values
        for record, (values, is_due) in trainings(dag).items()
        if is_due and Path(record).is_file()
    }
    names, keys = KEPT_RECIPE.redone(due)
    if not names:
        return None
    places = [Path(name).relative_to(f"{R}/records").with_suffix("") for name in names]
    more = f" and {len(places) - 3} more" if len(places) > 3 else ""
    return (
        f"{'; '.join(keys)}: this would redo {len(places)} finished trainings in {R}"
        f" ({', '.join(map(str, places[:3]))}{more})"
    )


def say_what_a_dry_run_would_redo():
    """The last words of a dry run."""
    if workflow.dryrun and workflow.dag is not None and (what := redone(workflow.dag)):
        print(
            f"recipe: {what}; a real call asks for --config redo=true", file=sys.stderr
        )


atexit.register(say_what_a_dry_run_would_redo)


# Only where Snakemake was called, and before its first job.
onstart:
    if not REDO and (what := redone(workflow.dag)):
        refuse(f"{what}; add --config redo=true, or give the recipe another name")
    KEPT_RECIPE.keep(
        RECIPE_FILE,
        {name: values for name, (values, _) in trainings(workflow.dag).items()},
        os.environ[CALL],
    )
    if workflow.non_local_exec:
        names = sorted({"cpu", RECIPE.environment})
        try:
            line = jobs_environments(names, Path(workflow.basedir), USES_CONDA)
        except UserError as error:
            refuse(error)
        print(line, file=sys.stderr)
        jobs, _ = planned_jobs(workflow.dag, globals(), Lengths())
        due = [job for job in jobs if job.due]
        print(
            f"plan: {one_line(due, Speeds())}; make plan says more", file=sys.stderr
        )

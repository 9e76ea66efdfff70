# What the rules share: the recipe, where files lie, and functions of wildcards. No rule here.
import json
import math
import re
import shlex
import sys
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from mmr1.errors import UserError
from mmr1.files import digest
from mmr1.provenance.code import code_digest
from mmr1.recipe import DigitsData, Endpoint, HubBase, check_files, load_recipe

try:
    RECIPE = load_recipe(config)
    check_files(RECIPE)
except UserError as error:
    print(f"recipe: {error}", file=sys.stderr)
    sys.exit(2)

R = f"results/{RECIPE.name}"
CPU = "../../envs/cpu.yaml"
DRIVER = "../../envs/driver.yaml"
STACK = f"../../envs/{RECIPE.environment}.yaml"
ROUND = f"{R}/{{model}}/{{run}}/seed{{seed}}/round{{r}}"
# MLflow lives in the driver's environment: the one that Snakemake itself runs in, unless conda makes one for the rule.
USES_CONDA = "conda" in {
    str(method) for method in workflow.deployment_settings.deployment_method
}
DRIVER_PYTHON = "python" if USES_CONDA else sys.executable
# Where MLflow keeps what it is shown: a database beside the results, or a server.
TRACKING_URI = RECIPE.mlflow or f"sqlite:///{Path(R).absolute()}/mlflow.db"
ARTIFACTS = None if RECIPE.mlflow else f"{R}/mlflow-artifacts"
INITIAL = f"{R}/{{model}}/initial/{{sampling}}/seed{{seed}}"
EVAL = f"{R}/{{model}}/eval/{{subject}}/{{benchmark}}"


wildcard_constraints:
    model="|".join(RECIPE.models),
    run="|".join(RECIPE.runs),
    seed=r"\d+",
    r=r"\d+",
    shard=r"\d+",
    sampling=r"[0-9a-f]{8}",


resolved = cache(RECIPE.resolve)
rounds = cache(RECIPE.rounds)


# The recipe's sections as they hold for each model and run, and where a rule has neither.
EVERYWHERE = [
    RECIPE,
    *(resolved(model, run) for model in RECIPE.models for run in (None, *RECIPE.runs)),
]


def from_sections(value):
    """What a function of the recipe's sections gives: as a function of wildcards, or as it is where it is the same for
    every model and run (Snakemake takes its time over functions, and there are thousands of jobs).
    """
    first, *others = [value(sections) for sections in EVERYWHERE]
    return (
        first
        if all(other == first for other in others)
        else lambda wildcards: value(stages(wildcards))
    )


def leaf(path):
    """A function of sections that gives one leaf of the recipe, such as vas.mix."""
    names = path.split(".")

    def value(sections):
        found = sections
        for name in names:
            found = getattr(found, name)
        return found.as_posix() if isinstance(found, Path) else found

    return value


def setting(path):
    """One leaf of the recipe, such as vas.mix."""
    return from_sections(leaf(path))


def settings_json(section):
    """A function of wildcards that gives one section of the recipe as JSON, for a settings file."""

    def value(wildcards):
        return json.dumps(
            getattr(stages(wildcards), section).model_dump(mode="json"), sort_keys=True
        )

    return value


def model_settings(wildcards):
    """The settings file of a stage that all runs of a model share: its base model's sizes, or SFT's settings."""
    if wildcards.section == "base":
        return json.dumps(
            RECIPE.models[wildcards.model].base.tiny.model_dump(mode="json"),
            sort_keys=True,
        )
    return settings_json(wildcards.section)(wildcards)


def any_of(names):
    """A wildcard's constraint: one of these names, or nothing at all where there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


HUB_MODELS = [
    name for name, model in RECIPE.models.items() if isinstance(model.base, HubBase)
]
TINY_MODELS = [name for name in RECIPE.models if name not in HUB_MODELS]
# The validation curve of RL is on a benchmark too, which need not be one that checkpoints are compared on.
VALIDATION = (
    [] if isinstance(RECIPE.data, DigitsData) else [str(RECIPE.data.validation)]
)
HUB_BENCHMARKS = sorted({*RECIPE.evaluation.benchmarks, *VALIDATION} - {"digits"})


# How benchmarks ask: the folder of their problems, which are bare questions for a system prompt of ours, or their own.
QUESTIONS = {"benchmarks": "bare", "official": "official"}


def benchmark_problems(name):
    """The problems of a benchmark, asked as the recipe says; digits know one way only."""
    official = RECIPE.evaluation.official_prompt and name != "digits"
    return f"{R}/data/{'official' if official else 'benchmarks'}/{name}.parquet"


def evaluated_problems(wildcards):
    """The problems that an evaluation is on."""
    return benchmark_problems(wildcards.benchmark)


def base_model(name):
    """A function of wildcards that gives where a base model comes from: hub or revision."""
    return lambda wildcards: getattr(RECIPE.models[wildcards.model].base, name)


def hub_data(name):
    """A function of wildcards that gives where a data set comes from: hub or revision."""
    return lambda wildcards: getattr(getattr(RECIPE.data, wildcards.dataset), name)


def downloads(wildcards):
    """Everything that comes from the hub."""
    datasets = (
        []
        if isinstance(RECIPE.data, DigitsData)
        else [f"{R}/data/hub/rl", f"{R}/data/hub/sft"]
    )
    models = [f"{R}/{model}/base" for model in HUB_MODELS]
    return (
        datasets
        + models
        + [f"{R}/data/benchmarks/{name}.parquet" for name in VALIDATION]
        + [
            benchmark_problems(name)
            for name in RECIPE.evaluation.benchmarks
            if name != "digits"
        ]
    )


def resource(stage, name):
    """One leaf of what a job of a stage asks for."""
    return from_sections(
        lambda sections: getattr(sections.stage_resources(stage), name)
    )


def job_resources(stage):
    """What Snakemake and SLURM are asked for by a job of a stage; what is None is not asked for.

    GPUs of one node are `gpu`, without `tasks` (which would mean tasks a GPU). Of several nodes each has one task
    (`mpi`), which the launcher starts. None of these is a parameter: other machines do not make other results due.
    """
    asked = {
        "mem_mb": lambda job: job.mem_mb,
        "runtime": lambda job: job.runtime,
        "nodes": lambda job: job.nodes,
        "cpus_per_task": lambda job: job.threads,
        "gpu": lambda job: job.gpus if job.gpus and job.nodes == 1 else None,
        "gres": lambda job: f"gpu:{job.gpus}" if job.gpus and job.nodes > 1 else None,
        "tasks": lambda job: job.nodes if job.nodes > 1 else None,
        "tasks_per_gpu": lambda job: 0 if job.gpus else None,
        "mpi": lambda job: "srun" if job.nodes > 1 else None,
    }
    if stage in ("sft", "train"):
        asked |= {
            "launcher": launcher,
            "deadline": lambda job: f"{job.runtime - min(5, job.runtime / 2):g}",
        }
    found = {
        name: from_sections(of_stage(stage, value)) for name, value in asked.items()
    }
    return {name: value for name, value in found.items() if value is not None}


def of_stage(stage, value):
    """A function of sections, from one of what a job of a stage asks for."""
    return lambda sections: value(sections.stage_resources(stage))


def launcher(job):
    """The words before a program that runs as one process a GPU: torchrun, started on every node by srun.

    A step of a multi-node job knows its job's number only: what srun is to start is said in full. The first node runs
    the job's script, so that its name is the address at which the ranks meet.
    """
    if job.gpus <= 1 and job.nodes == 1:
        return "python"
    torchrun = f"python -m torch.distributed.run --nproc-per-node {max(1, job.gpus)}"
    if job.nodes == 1:
        return f"{torchrun} --standalone"
    gpus = f" --gres=gpu:{job.gpus}" if job.gpus else ""
    return (
        f"srun --nodes={job.nodes} --ntasks={job.nodes} --ntasks-per-node=1 --cpus-per-task={job.threads}{gpus}"
        f" --kill-on-bad-exit=1 {torchrun} --nnodes {job.nodes} --rdzv-backend c10d --rdzv-id $SLURM_JOB_ID"
        " --rdzv-endpoint $(hostname):$((20000 + SLURM_JOB_ID % 10000))"
    )


def rank_threads(stage):
    """The CPU threads of each process that the launcher starts."""
    return from_sections(
        of_stage(stage, lambda job: max(1, job.threads // max(1, job.gpus)))
    )


def optional(flag, path):
    """A command-line option, or nothing where it has no value."""
    return "" if path in (None, "", []) else f"{flag} {path}"


def system_prompt(purpose):
    """A function of sections that gives the file of a system prompt, if there is one."""
    if purpose == "evaluation" and RECIPE.evaluation.official_prompt:
        return lambda sections: None
    return leaf(f"prompts.{purpose}")


def prompt(purpose):
    """The option for a system prompt, if the recipe has one."""
    path = system_prompt(purpose)
    return from_sections(lambda sections: optional("--system-prompt", path(sections)))


def prompt_file(purpose):
    """The system prompt's file, so that a change of it is seen."""
    path = system_prompt(purpose)
    return from_sections(lambda sections: path(sections) or [])


def run_record(rule, name):
    """Where a rule writes the record of one job."""
    return f"{R}/records/{rule}/{name}.json"


def logs(rule, name):
    """A job's log, and the marker that says whether it is running, finished or failed."""
    return {
        "text": f"{R}/logs/{rule}/{name}.log",
        "attempt": f"{R}/logs/{rule}/{name}.attempt.json",
    }


def folder_of_output(wildcards, output):
    """The folder that a rule's first output lies in."""
    return str(Path(output[0]).parent)


def sampling_key(model, run):
    """Names the rollouts of round 0: they depend on the model, the seed and these settings, not on the run."""
    sections = resolved(model, run)
    vas = sections.vas.model_dump(
        mode="json", include={"samples", "temperature", "top_p"}
    )
    rollout = sections.rollout.model_dump(mode="json", exclude={"shards"})
    prompts = sections.prompts.model_dump(mode="json", exclude={"evaluation"})
    return digest([vas, rollout, prompts])[:8]


SAMPLING = {
    (model, sampling_key(model, run)): run for model, run, _ in RECIPE.trained()
}


def stages(wildcards):
    """The recipe's sections for the wildcards' model and run, where there are any."""
    if not hasattr(wildcards, "model"):
        return RECIPE
    if hasattr(wildcards, "sampling"):
        return resolved(wildcards.model, SAMPLING[wildcards.model, wildcards.sampling])
    return resolved(wildcards.model, getattr(wildcards, "run", None))


def first_step(wildcards):
    """The absolute number of a round's first step."""
    return int(wildcards.r) * stages(wildcards).schedule.update_every


def round_steps(wildcards):
    """How many steps a round has; the last may be short."""
    schedule = stages(wildcards).schedule
    return min(schedule.update_every, schedule.steps - first_step(wildcards))


def previous(wildcards, name):
    """A file of the round before."""
    return f"{ROUND}/{name}".format(**{**wildcards, "r": int(wildcards.r) - 1})


def policy(wildcards):
    """The checkpoint that a round starts from: the last round's, or SFT's."""
    if int(wildcards.r) == 0:
        return f"{R}/{wildcards.model}/sft/checkpoint"
    return previous(wildcards, "checkpoint")


def trainer_state(wildcards):
    """The optimizer's state that a round starts from; round 0 has none."""
    return [] if int(wildcards.r) == 0 else previous(wildcards, "trainer_state")


def refresh(wildcards):
    """How a round's scores come about: the first round has none to build on, so all of its problems are sampled."""
    return "full" if int(wildcards.r) == 0 else stages(wildcards).vas.refresh


def sampled_problems(wildcards):
    """The problems that are sampled for a round's scores: all, or those whose scores are old or uncertain."""
    return (
        f"{ROUND}/stale.parquet".format(**wildcards)
        if refresh(wildcards) == "stale"
        else f"{R}/data/problems.parquet"
    )


def rollouts(wildcards):
    """The rollouts that a round's scores are made from: every shard, in order, or those of the last round's training."""
    sections = stages(wildcards)
    if refresh(wildcards) == "reuse":
        return [previous(wildcards, "train_rollouts.parquet")]
    if int(wildcards.r) == 0:
        key = sampling_key(wildcards.model, wildcards.run)
        folder = INITIAL.format(
            model=wildcards.model, sampling=key, seed=wildcards.seed
        )
    else:
        folder = ROUND.format(**wildcards)
    return [
        f"{folder}/rollouts/{shard}.parquet" for shard in range(sections.rollout.shards)
    ]


def scores(wildcards):
    """A round's scores; none where every problem is drawn uniformly."""
    return (
        []
        if stages(wildcards).vas.mix == 0
        else f"{ROUND}/scores.parquet".format(**wildcards)
    )


def previous_scores(wildcards):
    """The scores of the round before, where the new ones are built on them."""
    if int(wildcards.r) == 0 or (
        refresh(wildcards) == "full" and stages(wildcards).vas.momentum == 0
    ):
        return []
    return previous(wildcards, "scores.parquet")


def known_verdicts(wildcards):
    """The verdicts of the last round's training rollouts, where these are scored again."""
    return (
        [previous(wildcards, "train_rewards.parquet")]
        if refresh(wildcards) == "reuse"
        else []
    )


def queue_length(sections):
    """How many batches a step's schedule lists: more than one where DAPO's filter passes groups over."""
    return (
        1 if sections.grpo.filter is None else math.ceil(sections.grpo.filter.max_draws)
    )


def scores_option(wildcards):
    """--scores F, where the round has scores."""
    return optional("--scores", scores(wildcards))


def score_options(wildcards):
    """The released code's variants of the score, where the recipe asks for them."""
    vas = stages(wildcards).vas
    return " ".join(
        [
            "--minmax" if vas.minmax else "",
            f"--momentum {vas.momentum}" if vas.momentum else "",
            f"--ovs-estimate {vas.ovs_estimate}",
            f"--seconds {vas.verify_seconds}",
            optional("--previous", previous_scores(wildcards)),
            optional("--rewards-in", " ".join(known_verdicts(wildcards))),
            f"--first-step {first_step(wildcards)}",
        ]
    )


def state_option(wildcards):
    """--state DIR, where a round has one before it."""
    return optional("--state", trainer_state(wildcards))


def keep_state(output):
    """Mark an optimizer's state as temporary, unless the recipe keeps all of them."""
    return output if RECIPE.keep_states == "all" else temp(output)


# Matches the model's part of a path only where the whole path is of a run's last round.
LAST_ROUNDS = (
    "(?="
    + "|".join(
        f"{model}/{run}/seed{seed}/round{rounds(model, run) - 1}/"
        for model, run, seed in RECIPE.trained()
    )
    + ")[^/]+"
)


def round_number(wildcards):
    """The round, as a number that enters the seeds of its rollouts; the shared first one is round 0."""
    return int(getattr(wildcards, "r", 0))


def bounds(sections):
    """--min-pixels and --max-pixels, where the recipe bounds them."""
    rollout = sections.rollout
    return " ".join(
        [
            optional("--min-pixels", rollout.min_pixels),
            optional("--max-pixels", rollout.max_pixels),
        ]
    )


def shard(wildcards):
    """I/K, as generate.py takes it."""
    return f"{wildcards.shard}/{stages(wildcards).rollout.shards}"


def rewards_so_far(wildcards):
    """The verdicts of a round's training rollouts and of those of all rounds before it."""
    folders = [
        ROUND.format(**{**wildcards, "r": r}) for r in range(int(wildcards.r) + 1)
    ]
    return [f"{folder}/train_rewards.parquet" for folder in folders]


def last_round(model, run, seed):
    """The folder of a run's last round."""
    return ROUND.format(model=model, run=run, seed=seed, r=rounds(model, run) - 1)


def rounds_of(name):
    """A file of every round of every run that is trained."""
    return [
        f"{ROUND}/{name}".format(model=model, run=run, seed=seed, r=r)
        for model, run, seed in RECIPE.trained()
        for r in range(rounds(model, run))
    ]


def scored_rounds(name):
    """A file of every round that has scores."""
    return [
        f"{ROUND}/{name}".format(model=model, run=run, seed=seed, r=r)
        for model, run, seed in RECIPE.trained()
        if resolved(model, run).vas.mix > 0
        for r in range(rounds(model, run))
    ]


def last_checkpoints(wildcards):
    """The last checkpoint of every run."""
    return [f"{last_round(*trained)}/checkpoint" for trained in RECIPE.trained()]


def subjects():
    """What is evaluated, as a mapping of (model, subject) to its checkpoint: a folder or an endpoint."""
    found = {}
    for model in RECIPE.models:
        found[model, "base"] = f"{R}/{model}/base"
        found[model, "sft"] = f"{R}/{model}/sft/checkpoint"
    for model, run, seed in RECIPE.trained():
        found[model, f"{run}-seed{seed}"] = f"{last_round(model, run, seed)}/checkpoint"
    for name, run in RECIPE.runs.items():
        if run.checkpoint is not None:
            models = run.models or list(RECIPE.models)[:1]
            found |= {(model, name): run.checkpoint for model in models}
    return found


SUBJECTS = subjects()
SERVED_SUBJECTS = sorted(
    {subject for (_, subject), found in SUBJECTS.items() if isinstance(found, Endpoint)}
)
LOCAL_SUBJECTS = sorted({subject for _, subject in SUBJECTS} - {*SERVED_SUBJECTS})


def evaluated_checkpoint(wildcards):
    """The checkpoint that an evaluation is of."""
    return SUBJECTS[wildcards.model, wildcards.subject]


def endpoint(name):
    """A function of wildcards that gives the url or the model of the endpoint that an evaluation is of."""
    return lambda wildcards: shlex.quote(
        getattr(SUBJECTS[wildcards.model, wildcards.subject], name)
    )


def judge(sections):
    """--judge-url and --judge-model, where the recipe has a judge."""
    judge = sections.evaluation.judge
    return (
        f"--judge-url {shlex.quote(judge.url)} --judge-model {shlex.quote(judge.model)}"
        if judge
        else ""
    )


def evaluated(name):
    """A file of every evaluation."""
    return [
        f"{EVAL}/{name}".format(model=model, subject=subject, benchmark=benchmark)
        for model, subject in SUBJECTS
        for benchmark in RECIPE.evaluation.benchmarks
    ]


def all_scores(wildcards):
    """The scores of every checkpoint on every benchmark."""
    return evaluated("scores.json")


def round_files(model, run, seed, r):
    """One round's files, as the report's index names them."""
    folder = ROUND.format(model=model, run=run, seed=seed, r=r)
    names = ["metrics", "timings", "validation", "calibration"]
    files = {"round": r} | {name: f"{folder}/{name}.jsonl" for name in names}
    if resolved(model, run).vas.mix > 0:
        files["scores"] = f"{folder}/scores.parquet"
    return files


def evaluation_files(model, subject, benchmark):
    """One evaluation's files, as the report's index names them."""
    folder = EVAL.format(model=model, subject=subject, benchmark=benchmark)
    run, _, seed = subject.rpartition("-seed")
    who = {"subject": run, "seed": int(seed)} if run else {"subject": subject}
    files = {
        "scores": "scores.json",
        "items": "items.parquet",
        "predictions": "predictions.parquet",
    }
    return {"model": model, "benchmark": benchmark, **who} | {
        name: f"{folder}/{file}" for name, file in files.items()
    }


def report_contents():
    """The report's index: see mmr1.report.index."""
    trainings = [
        {
            "model": model,
            "run": run,
            "seed": seed,
            "rounds": [
                round_files(model, run, seed, r) for r in range(rounds(model, run))
            ],
        }
        for model, run, seed in RECIPE.trained()
    ]
    return {
        "recipe": RECIPE.name,
        "results": R,
        "benchmarks": {
            name: benchmark_problems(name) for name in RECIPE.evaluation.benchmarks
        },
        "evaluations": [
            evaluation_files(model, subject, benchmark)
            for model, subject in SUBJECTS
            for benchmark in RECIPE.evaluation.benchmarks
        ],
        "trainings": trainings,
        "sft": [
            {"model": model, "metrics": f"{R}/{model}/sft/metrics.jsonl"}
            for model in RECIPE.models
        ],
        "tables": [f"{R}/tables/{table}.html" for table in TABLES],
    }


def report_index(wildcards):
    """The report's index as JSON."""
    return json.dumps(report_contents(), sort_keys=True)


def report_files(wildcards):
    """Every file that the report is made from."""
    contents = report_contents()
    rounds = [one for training in contents["trainings"] for one in training["rounds"]]
    return contents["tables"] + [
        path
        for one in [
            contents["benchmarks"],
            *contents["evaluations"],
            *contents["sft"],
            *rounds,
        ]
        for path in one.values()
        if isinstance(path, str) and path.startswith(f"{R}/")
    ]


FORMATS = {"markdown": "md", "csv": "csv", "latex": "tex", "html": "html"}
PAPERS_BENCHMARKS = {"mathverse", "mathvista", "mathvision", "logicvista", "chartqa"}
TABLES = [
    "accuracy",
    *(["2", "3"] if set(RECIPE.evaluation.benchmarks) >= PAPERS_BENCHMARKS else []),
]


def evaluation_settings(sections):
    """What a table says of how answers were sampled and judged."""
    evaluation = sections.evaluation
    return {
        "prompt": system_prompt("evaluation")(sections)
        or ("official" if evaluation.official_prompt else "none"),
        "temperature": evaluation.temperature,
        "top_p": evaluation.top_p,
        "responses a problem": evaluation.n,
        "max tokens": evaluation.max_tokens,
        "engine": sections.rollout.engine,
    } | ({"judge": evaluation.judge.model} if evaluation.judge else {})


def tables_row(model, subject):
    """What all of a subject's evaluations have in common: its checkpoint, and settings that are its own."""
    found = SUBJECTS[model, subject]
    served = isinstance(found, Endpoint)
    usual = evaluation_settings(RECIPE)
    settings = evaluation_settings(resolved(model)) | (
        {"engine": "endpoint"} if served else {}
    )
    return {
        "checkpoint": f"{found.model} at {found.url}" if served else found,
        "settings": {
            name: value for name, value in settings.items() if usual.get(name) != value
        },
    } | ({"label": subject} if subject in RECIPE.runs else {})


def tables_index(wildcards):
    """The tables' index as JSON: see mmr1.tables_paper."""
    kept = ("model", "subject", "seed", "benchmark", "scores")
    evaluations = [
        {name: value for name, value in one.items() if name in kept}
        | tables_row(model, subject)
        for model, subject in SUBJECTS
        for one in (
            evaluation_files(model, subject, name)
            for name in RECIPE.evaluation.benchmarks
        )
    ]
    return json.dumps(
        {"evaluations": evaluations, "settings": evaluation_settings(RECIPE)},
        sort_keys=True,
    )


def all_tables(wildcards):
    """Every table in every format."""
    return [
        f"{R}/tables/{table}.{ending}"
        for table in TABLES
        for ending in FORMATS.values()
    ]

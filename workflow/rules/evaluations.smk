# Which checkpoints are evaluated, and on what. No rule here.


def evaluated_problems(wildcards):
    """The problems that an evaluation is on."""
    return benchmark_problems(wildcards.benchmark)


def subjects():
    """What is evaluated, as a mapping of (model, subject) to its checkpoint: a folder or an endpoint."""
    checkpoints = {}
    for model in RECIPE.models:
        for subject, path in (("base", BASES), ("sft", COLD_STARTS)):
            if model in path:
                checkpoints[model, subject] = path[model]
    for model, run, seed in RECIPE.trained():
        checkpoints[model, f"{run}-seed{seed}"] = (
            f"{last_round(model, run, seed)}/checkpoint"
        )
    for name, run in RECIPE.runs.items():
        if run.checkpoint is not None:
            models = run.models or list(RECIPE.models)[:1]
            checkpoints |= {(model, name): released(name) for model in models}
    return checkpoints


SUBJECTS = subjects()
SERVED_SUBJECTS = sorted(
    {
        subject
        for (_, subject), checkpoint in SUBJECTS.items()
        if isinstance(checkpoint, Endpoint)
    }
)
LOCAL_SUBJECTS = sorted({subject for _, subject in SUBJECTS} - {*SERVED_SUBJECTS})


def evaluated_checkpoint(wildcards):
    """The checkpoint that an evaluation is of."""
    return SUBJECTS[wildcards.model, wildcards.subject]


def endpoint(name):
    """A function of wildcards that gives the url or the model of the endpoint that an evaluation is of."""
    return lambda wildcards: getattr(SUBJECTS[wildcards.model, wildcards.subject], name)


# The judge of what rules leave undecided is a model that runs here or is served somewhere; one for all checkpoints.
JUDGE = RECIPE.evaluation.judge
SERVED_JUDGE = isinstance(JUDGE, Endpoint)


def judge_model():
    """The folder of a judge that runs here."""
    path = getattr(JUDGE, "path", f"{R}/{JUDGE_PLACE}")
    return str(path)


def judge_name():
    """What tables say of the judge: its repository and commit, its folder, or its name at an endpoint."""
    return JUDGE.model if SERVED_JUDGE else origin(judge_model())


def judge_replies(wildcards):
    """What the judge said about the responses that no rule could decide, if there is a judge."""
    return f"{EVAL}/judge_replies.parquet".format(**wildcards) if JUDGE else []


def judge_option(wildcards):
    """--judge-replies F, if there is a judge."""
    return optional("--judge-replies", judge_replies(wildcards))


def benchmark_file(wildcards):
    """The file of the benchmark that a job is about: part of what decides its result, and of no other's."""
    return [f"mmr1/benchmarks/suite/{wildcards.benchmark}.py"]


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

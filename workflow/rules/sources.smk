# Where base models, data sets and benchmarks come from. No rule here.

BASES = {
    name: str(getattr(model.base, "path", f"{R}/{name}/base"))
    for name, model in RECIPE.models.items()
    if model.base is not None
}
TINY_MODELS = [
    name for name, model in RECIPE.models.items() if hasattr(model.base, "tiny")
]
# Where RL starts: a folder or a repository that the recipe names, or the checkpoint of SFT.
COLD_STARTS = {
    name: f"{R}/{name}/sft/checkpoint"
    for name, model in RECIPE.models.items()
    if model.sft is not None or name in RECIPE.sft_models()
} | {
    name: str(model.sft.checkpoint)
    for name, model in RECIPE.models.items()
    if model.sft is not None and isinstance(model.sft.checkpoint, Path)
}


JUDGE_PLACE = "judge/model"


def hub_models():
    """The models that come from the hub, by the folder that each is put into, below the results."""
    bases = {f"{name}/base": model.base for name, model in RECIPE.models.items()}
    starts = {
        f"{name}/sft/checkpoint": model.sft.checkpoint
        for name, model in RECIPE.models.items()
        if model.sft is not None
    }
    runs = {f"checkpoints/{name}": run.checkpoint for name, run in RECIPE.runs.items()}
    judge = {JUDGE_PLACE: RECIPE.evaluation.judge}
    named = bases | starts | runs | judge
    return {place: model for place, model in named.items() if hasattr(model, "hub")}


HUB_MODELS = hub_models()


def base(wildcards):
    """The base model that SFT starts from."""
    return BASES[wildcards.model]


def cold_start(wildcards):
    """The checkpoint that RL starts from, which is its reference too."""
    return COLD_STARTS[wildcards.model]


def processor():
    """A model whose tokenizer and image processor give the lengths of prompts: the first base, or cold start, that is."""
    there = (COLD_STARTS | BASES).values()
    return next(iter(there), f"{R}/{next(iter(RECIPE.models))}/base")


def released(run):
    """The checkpoint that a run names instead of training one: a folder or an endpoint."""
    named = RECIPE.runs[run].checkpoint
    if f"checkpoints/{run}" in HUB_MODELS:
        return f"{R}/checkpoints/{run}"
    return str(named) if isinstance(named, Path) else named


def origin(folder):
    """What tables say of a checkpoint: its repository and commit, or its folder."""
    model = HUB_MODELS.get(folder.removeprefix(f"{R}/"))
    return f"{model.hub}@{model.revision}" if model else folder


# What the recipe's source of data reads, here and on the hub.
SOURCE_FILES = {
    name: input_files(path) for name, path in RECIPE.ask_data("inputs", {}).items()
}
DATASETS = RECIPE.ask_data("downloads", {})
MADE_BENCHMARKS = made_benchmarks()
HUB_BENCHMARKS = sorted({*RECIPE.benchmarks()} - {*MADE_BENCHMARKS})


# What is trained on, and compared with the benchmarks.
TRAINING_TABLES = [
    name
    for name in ("problems", "sft")
    if RECIPE.data is not None
    and name in RECIPE.data.rows()
    and name in RECIPE.tables()
]
DROPS_DUPLICATES = RECIPE.data is not None and RECIPE.data.near_duplicates == "drop"


# What is said of the data, where there are any to train on.
CARD = f"{R}/data/card.json" if TRAINING_TABLES else None


def made_table(name):
    """Where a source writes a table: beside what is trained on, if near-duplicates are dropped from it."""
    whole = "whole/" if DROPS_DUPLICATES and name in TRAINING_TABLES else ""
    return f"{R}/data/{whole}{name}.parquet"


def source_tables():
    """What the recipe's source of data makes, with its paths; `test` is a benchmark's problems."""
    if RECIPE.data is None:
        return {}
    tables = {name: made_table(name) for name in RECIPE.data.rows()}
    if "test" in tables:
        name = RECIPE.data.source.module.BENCHMARK
        tables["test"] = f"{R}/data/benchmarks/{name}.parquet"
    for name in RECIPE.ask_data("rejected", []):
        tables[f"{name}_rejects"] = f"{R}/data/{name}_rejects.parquet"
    return tables


SOURCE_TABLES = source_tables()

# How benchmarks ask: the folder of their problems, which are bare questions for a system prompt of ours, or their own.
QUESTIONS = {"benchmarks": "bare", "official": "official"}


def benchmark_problems(name):
    """The problems of a benchmark, asked as the recipe says; those that a source makes know one way only."""
    official = RECIPE.evaluation.official_prompt and name not in MADE_BENCHMARKS
    return f"{R}/data/{'official' if official else 'benchmarks'}/{name}.parquet"


def bare(name):
    """The bare questions of a benchmark, with which training data are compared, if any are."""
    return [f"{R}/data/benchmarks/{name}.parquet"] if TRAINING_TABLES else []


def hub_model(name):
    """A function of wildcards that gives where a model comes from: hub or revision."""
    return lambda wildcards: getattr(HUB_MODELS[wildcards.place], name)


def tiny_settings(wildcards):
    """The sizes of a base model with random weights."""
    return as_json(numbers(RECIPE.models[wildcards.model].base.tiny))


def hub_data(name):
    """A function of wildcards that gives where a data set comes from: hub or revision."""
    return lambda wildcards: getattr(DATASETS[wildcards.dataset][0], name)


def hub_patterns(wildcards):
    """The names of a data set's files, as patterns."""
    return list(DATASETS[wildcards.dataset][1])


def downloads(wildcards):
    """Everything that comes from the hub."""
    asked = RECIPE.ask_data("benchmarks", []) if RECIPE.trained() else []
    return (
        [
            f"{R}/data/hub/{name}"
            for name, (_, _, table) in DATASETS.items()
            if table in RECIPE.tables()
        ]
        + [f"{R}/{place}" for place in HUB_MODELS]
        + [f"{R}/data/benchmarks/{name}.parquet" for name in asked]
        + [
            path
            for name in RECIPE.evaluation.benchmarks
            if name not in MADE_BENCHMARKS
            for path in dict.fromkeys([benchmark_problems(name), *bare(name)])
        ]
    )


# The pool by how hard it is for a model: each model's own, by its base or by its cold start.
CURATED = f"{R}/{{model}}/curated"
CURATES = BASES if RECIPE.curation.checkpoint == "base" else COLD_STARTS


def curated(wildcards):
    """What the target makes: of each model that there is a checkpoint of, its own."""
    if RECIPE.data is None or "problems" not in RECIPE.data.rows():
        refuse("curate: expected data with problems, found none")
    return [f"{R}/{model}/curated/problems.parquet" for model in CURATES]


def theorem_outputs(wildcards):
    """What the target `theorem` makes: for each model whose pool was answered."""
    curated(wildcards)  # refuses where there is no pool
    return [f"{R}/{model}/theorem/summary.json" for model in CURATES] + [
        f"{R}/{model}/theorem/signal_to_noise.csv"
        for model in CURATES
        if RECIPE.curation.samples
        >= responses_of_scores(model) + 4  # two groups of two
    ]


def first_scores(model):
    """The scores of round 0 by the runs that have some, where these are of the checkpoint that answered the pool."""
    if RECIPE.curation.checkpoint == "base":
        return {}
    first_seeds = {
        run: seed
        for name, run, seed in reversed(RECIPE.trained())
        if name == model and needs_scores(resolved(model, run))
    }
    return {
        run: f"{ROUND}/scores.parquet".format(model=model, run=run, seed=seed, r=0)
        for run, seed in reversed(first_seeds.items())
    }


def responses_of_scores(model):
    """How many responses to each problem these may have been made from."""
    runs = first_scores(model)
    return max([0, *(resolved(model, run).vas.samples for run in runs)])


def curation_rollouts(wildcards):
    """The responses that a pool is divided by, every shard in order."""
    return rollouts_in(CURATED, wildcards)

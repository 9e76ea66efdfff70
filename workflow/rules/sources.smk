# Where base models, data sets and benchmarks come from. No rule here.

HUB_MODELS = [name for name, model in RECIPE.models.items() if model.base.from_hub]
TINY_MODELS = [name for name in RECIPE.models if name not in HUB_MODELS]

# What the recipe's source of data reads, here and on the hub.
SOURCE_FILES = RECIPE.data.asked("inputs", {})
DATASETS = RECIPE.data.asked("downloads", {})
MADE_BENCHMARKS = made_benchmarks()
HUB_BENCHMARKS = sorted({*RECIPE.benchmarks()} - {*MADE_BENCHMARKS})


def source_tables():
    """The tables that the recipe's source of data makes, with their paths; `test` is a benchmark's problems."""
    found = {name: f"{R}/data/{name}.parquet" for name in RECIPE.data.rows()}
    if "test" in found:
        name = RECIPE.data.source.module.BENCHMARK
        found["test"] = f"{R}/data/benchmarks/{name}.parquet"
    return found


SOURCE_TABLES = source_tables()

# How benchmarks ask: the folder of their problems, which are bare questions for a system prompt of ours, or their own.
QUESTIONS = {"benchmarks": "bare", "official": "official"}


def benchmark_problems(name):
    """The problems of a benchmark, asked as the recipe says; those that a source makes know one way only."""
    official = RECIPE.evaluation.official_prompt and name not in MADE_BENCHMARKS
    return f"{R}/data/{'official' if official else 'benchmarks'}/{name}.parquet"


def base_model(name):
    """A function of wildcards that gives where a base model comes from: hub or revision."""
    return lambda wildcards: getattr(RECIPE.models[wildcards.model].base, name)


def tiny_settings(wildcards):
    """The sizes of a base model with random weights."""
    return as_json(numbers(RECIPE.models[wildcards.model].base.tiny))


def hub_data(name):
    """A function of wildcards that gives where a data set comes from: hub or revision."""
    return lambda wildcards: getattr(DATASETS[wildcards.dataset][0], name)


def hub_patterns(wildcards):
    """The names of a data set's files, as patterns."""
    return " ".join(map(shlex.quote, DATASETS[wildcards.dataset][1]))


def downloads(wildcards):
    """Everything that comes from the hub."""
    asked = RECIPE.data.asked("benchmarks", [])
    return (
        [f"{R}/data/hub/{name}" for name in DATASETS]
        + [f"{R}/{model}/base" for model in HUB_MODELS]
        + [f"{R}/data/benchmarks/{name}.parquet" for name in asked]
        + [
            benchmark_problems(name)
            for name in RECIPE.evaluation.benchmarks
            if name not in MADE_BENCHMARKS
        ]
    )

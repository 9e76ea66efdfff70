# Where base models, data sets and benchmarks come from. No rule here.

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


def base_model(name):
    """A function of wildcards that gives where a base model comes from: hub or revision."""
    return lambda wildcards: getattr(RECIPE.models[wildcards.model].base, name)


def tiny_settings(wildcards):
    """The sizes of a base model with random weights."""
    return as_json(numbers(RECIPE.models[wildcards.model].base.tiny))


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

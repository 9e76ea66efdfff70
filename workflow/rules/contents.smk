# What the tables and the report are made from, as indices of files. No rule here.


def round_files(model, run, seed, r):
    """One round's files, as the report's index names them."""
    folder = ROUND.format(model=model, run=run, seed=seed, r=r)
    names = ["metrics", "timings", "validation", "calibration"]
    files = {"round": r} | {name: f"{folder}/{name}.jsonl" for name in names}
    if needs_scores(resolved(model, run)):
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
    baselines = {model: RECIPE.baselines(model) for model in RECIPE.rl_models()}
    trainings = [
        {
            "model": model,
            "run": run,
            "seed": seed,
            "baseline": baselines[model][run],
            "rounds": [
                round_files(model, run, seed, r) for r in range(rounds(model, run))
            ],
        }
        for model, run, seed in RECIPE.trained()
    ]
    return {
        "recipe": RECIPE.folder,
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
            for model in RECIPE.sft_models()
        ],
        "tables": [f"{R}/tables/{table}.html" for table in TABLES],
        "data": CARD,
    }


def report_index(wildcards):
    """The report's index as JSON."""
    return as_json(numbers(report.Index.model_validate(report_contents())))


def report_files(wildcards):
    """Every file that the report is made from."""
    contents = report_contents()
    rounds = [one for training in contents["trainings"] for one in training["rounds"]]
    cards = [contents["data"]] if contents["data"] else []
    return (
        cards
        + contents["tables"]
        + [
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
    )


FORMATS = {"markdown": "md", "csv": "csv", "latex": "tex", "html": "html"}
TABLES = [
    "accuracy",
    *(
        ["2", "3", "4"]
        if set(RECIPE.evaluation.benchmarks) >= set(PAPER_BENCHMARKS)
        else []
    ),
]


def evaluation_settings(sections):
    """What a table says of how answers were sampled and judged."""
    evaluation = sections.evaluation
    return {
        "prompt": system_prompt("evaluation")(sections)
        or ("official" if evaluation.official_prompt else "none"),
        "temperature": evaluation.temperature,
        "top_p": evaluation.top_p,
        "responses per problem": evaluation.n,
        "max tokens": evaluation.max_tokens,
        "engine": sections.rollout.engine.name,
    } | ({"judge": judge_name()} if JUDGE else {})


def tables_row(model, subject):
    """What all of a subject's evaluations have in common: its checkpoint, and settings that are its own."""
    source = SUBJECTS[model, subject]
    served = isinstance(source, Endpoint)
    usual = evaluation_settings(RECIPE)
    settings = evaluation_settings(resolved(model)) | (
        {"engine": "endpoint"} if served else {}
    )
    return {
        "checkpoint": f"{source.model} at {source.url}" if served else origin(source),
        "settings": {
            name: value for name, value in settings.items() if usual.get(name) != value
        },
    } | ({"label": subject} if subject in RECIPE.runs else {})


def tables_index(wildcards):
    """The tables' index as JSON."""
    kept = ("model", "subject", "seed", "benchmark", "scores", "items")
    evaluations = [
        {name: value for name, value in one.items() if name in kept}
        | tables_row(model, subject)
        for model, subject in SUBJECTS
        for one in (
            evaluation_files(model, subject, name)
            for name in RECIPE.evaluation.benchmarks
        )
    ]
    index = tables.Index(
        evaluations=evaluations,
        benchmarks={
            name: benchmark_problems(name) for name in RECIPE.evaluation.benchmarks
        },
        settings=evaluation_settings(RECIPE),
    )
    return as_json(numbers(index))


def all_tables(wildcards):
    """Every table in every format."""
    return [
        f"{R}/tables/{table}.{ending}"
        for table in TABLES
        for ending in FORMATS.values()
    ]

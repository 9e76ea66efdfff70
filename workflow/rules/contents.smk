# What tables, figures and the report are made from, as indices of files. No rule here.
from mmr1.report.figures_index import FigureIndex
from mmr1.report.paper_rows import PAPER_ROWS, PARTS


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
    return as_json(numbers(ReportIndex.model_validate(report_contents())))


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
HAS_PAPERS_BENCHMARKS = set(RECIPE.evaluation.benchmarks) >= set(PAPER_BENCHMARKS)
TABLES = ["accuracy", *(["2", "3", "4"] if HAS_PAPERS_BENCHMARKS else [])]


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
        for model, subject in table_subjects(wildcards.table)
        for one in (
            evaluation_files(model, subject, name)
            for name in RECIPE.evaluation.benchmarks
        )
    ]
    elsewhere = wildcards.table != "accuracy" and not HAS_PAPERS_BENCHMARKS
    index = tables.Index(
        paper_rows=rows_elsewhere(wildcards.table) if elsewhere else {},
        evaluations=evaluations,
        benchmarks={
            name: benchmark_problems(name) for name in RECIPE.evaluation.benchmarks
        },
        settings=evaluation_settings(RECIPE),
    )
    return as_json(numbers(index))


def vas_settings(model, run):
    """What tells one way of VAS from another; None of a run that draws uniformly, or by no scores."""
    sections = resolved(model, run)
    if not needs_scores(sections):
        return None
    rest = sections.model_dump(exclude={"resources": True, "vas": {"mix"}})
    weights = f"{sections.vas.outcome_weight}/{sections.vas.diversity_weight}"
    for key in ("outcome_weight", "diversity_weight", "samples"):
        rest["vas"].pop(key)
    rest["schedule"].pop("update_every")
    return {
        "mix": sections.vas.mix,
        "update": sections.schedule.update_every,
        "rollouts": sections.vas.samples,
        "weights": weights,
        "rest": rest,
    }


def paper_like():
    """The first model's runs that stand for the paper's: uniform draws, VAS, and VAS at other settings, by what differs.

    VAS is the first run with scores. None where nothing is trained with scores.
    """
    model = next(iter(RECIPE.rl_models()), None)
    runs = [
        run
        for run in RECIPE.runs
        if (model, run) in {one[:2] for one in RECIPE.trained()}
    ]
    settings = {run: found for run in runs if (found := vas_settings(model, run))}
    if not settings:
        return None
    reference, usual = next(iter(settings.items()))
    differing = {
        run: [name for name in usual if found[name] != usual[name]]
        for run, found in settings.items()
    }
    ablations = {run: names[0] for run, names in differing.items() if len(names) == 1}
    uniform = RECIPE.baselines(model)[reference]
    return {
        "model": model,
        "vas": reference,
        "uniform": uniform,
        "settings": settings,
        "ablations": {run: name for run, name in ablations.items() if name != "rest"},
    }


PAPER_LIKE = paper_like()


def rows_elsewhere(table):
    """Which of our runs stands beside which rows of a table of the paper, on benchmarks that are not the paper's."""
    if PAPER_LIKE is None:
        return {}
    model, vas, uniform = (PAPER_LIKE[name] for name in ("model", "vas", "uniform"))
    if table == "4":
        settings = PAPER_LIKE["settings"]
        parts = {vas: ["mix", "update", "rollouts", "weights"]}
        parts |= {run: [name] for run, name in PAPER_LIKE["ablations"].items()}
        return {
            f"{model}/{run}": [f"{name}={settings[run][name]}" for name in names]
            for run, names in parts.items()
        }
    ours = {"base": "base", "sft": "sft", "uniform": uniform, "vas": vas}
    return {
        f"{model}/{ours[part]}": [row]
        for part, row in PARTS[table].items()
        if ours[part] is not None
    }


def trained_subject(subject):
    """The run of a subject, without its seed."""
    return subject.rpartition("-seed")[0] or subject


def table_subjects(table):
    """The subjects that have a row in a table: all of them in the one of accuracies, and where none has a row."""
    if table == "accuracy":
        return list(SUBJECTS)
    if HAS_PAPERS_BENCHMARKS:
        found = [
            (model, subject)
            for model, subject in SUBJECTS
            if (table, model, trained_subject(subject)) in PAPER_ROWS
            or (table == "2" and subject in RECIPE.runs)
        ]
        return found or list(SUBJECTS)
    rows = rows_elsewhere(table)
    found = [one for one in SUBJECTS if f"{one[0]}/{trained_subject(one[1])}" in rows]
    if not found:
        refuse(f"table{table}: expected a run that is trained with scores, found none")
    return found


def table_files(name):
    """A function of wildcards that gives a file of every evaluation that a table shows."""
    return lambda wildcards: [
        f"{EVAL}/{name}".format(model=model, subject=subject, benchmark=benchmark)
        for model, subject in table_subjects(wildcards.table)
        for benchmark in RECIPE.evaluation.benchmarks
    ]


def figure_trainings(figure):
    """The trainings of a figure of the paper: VAS at any λ and uniform draws (Figure 2), VAS alone (Figure 3)."""
    if PAPER_LIKE is None:
        refuse(
            f"figure{figure}: expected a run that is trained with scores, found none"
        )
    model, vas, uniform = (PAPER_LIKE[name] for name in ("model", "vas", "uniform"))
    others = [run for run, name in PAPER_LIKE["ablations"].items() if name == "mix"]
    chosen = [vas] if figure == "3" else [*([uniform] if uniform else []), vas, *others]
    return [
        {
            "model": model,
            "run": run,
            "seed": seed,
            "rounds": [
                round_files(model, run, seed, r) for r in range(rounds(model, run))
            ],
        }
        for run in chosen
        for of, name, seed in RECIPE.trained()
        if (of, name) == (model, run)
    ]


def figure_index(wildcards):
    """The index of a figure as JSON."""
    index = FigureIndex(trainings=figure_trainings(wildcards.figure))
    return as_json(numbers(index))


def figure_files(wildcards):
    """The files that a figure is drawn from."""
    names = ("metrics", "validation") if wildcards.figure == "2" else ("scores",)
    return [
        one[name]
        for training in figure_trainings(wildcards.figure)
        for one in training["rounds"]
        for name in names
        if name in one
    ]


def table_outputs(table):
    """A function that gives a table of the paper in every format."""
    return [f"{R}/tables/{table}.{ending}" for ending in FORMATS.values()]


def figure_outputs(figure):
    """A figure of the paper as SVG and PNG, and its numbers."""
    return [f"{R}/paper_figures/{figure}.{ending}" for ending in ("svg", "png", "csv")]


def all_tables(wildcards):
    """Every table in every format."""
    return [
        f"{R}/tables/{table}.{ending}"
        for table in TABLES
        for ending in FORMATS.values()
    ]

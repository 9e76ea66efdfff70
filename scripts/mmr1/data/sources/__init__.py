"""Where problems and conversations come from. A recipe's `data: {NAME: {…}}` names a file of this folder, which defines

- `TITLE`: what it is called; `EXAMPLE`: a few lines of a recipe that choose it;
- `Settings`: its section of a recipe;
- `rows(settings)`: the tables of `TABLES` that it makes: by name, the key that says so and the number of rows, or None
  where only the files know;
- `write(settings, tables, seed, limits)`: makes the tables, a mapping from name to path, each cut to its first rows
  where `limits` has a number for it; what it returns goes into the record (numbers as metrics, all else as notes);

and where it applies

- `inputs(settings)`: files that it reads, by the key that names them;
- `rejected(settings)`: tables of which broken rows are left out; each may have a table NAME_rejects of these beside it;
- `LICENCE`: under which licence it may be used; `OVERLAP`: what is known of its overlap with benchmarks;
- `BENCHMARK`: the benchmark whose problems its table `test` holds;
- `benchmarks(settings)`: benchmarks whose problems it needs, as for validation;
- `downloads(settings)`: data sets of the hub, by name, each with the patterns of its files and the table that it is
  for. Such a source has rules of its own, in `workflow/rules/NAME.smk`, and no `write`.
"""

TABLES = {
    "problems": "the RL pool",
    "sft": "conversations for supervised fine-tuning",
    "sft_validation": "held-out conversations, for its validation loss",
    "validation": "held-out problems, for the validation curve of RL",
    "test": "held-out problems, for evaluation",
}

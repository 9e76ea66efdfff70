"""The records, shown in MLflow Tracking: the records are the truth, MLflow shows them (docs/design.md §7 "MLflow")."""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # before mlflow is imported, which would report its use

EXPORTED = "mlflow_runs.json"  # in a results folder: where an export showed it

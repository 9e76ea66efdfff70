"""The records, shown in MLflow Tracking: the records are the truth, MLflow shows them (docs/design.md §7 "MLflow")."""

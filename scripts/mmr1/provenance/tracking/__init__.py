"""The records, shown in MLflow Tracking: the records are the truth, MLflow shows them (DESIGN §9 "MLflow")."""

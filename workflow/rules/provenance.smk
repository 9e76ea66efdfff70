# The records, shown in MLflow.

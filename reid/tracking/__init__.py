"""MLflow: runs, lineage, registry. The only package that imports mlflow."""

import os

# MLflow reads these once, when it is imported: no module of this package may import it earlier.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

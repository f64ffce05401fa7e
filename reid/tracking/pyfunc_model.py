"""The code that MLflow stores with every registered model, and runs when it loads one."""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel

from reid.methods.model_directory import load_model
from reid.tracking.serving import predict


class ReidModel(PythonModel):  # type: ignore[misc]
    """A model directory behind MLflow's interface."""

    # MLflow passes `context` by keyword: under another name the model would log, but never load.
    def load_context(self, context: Any) -> None:
        """Load the model directory."""
        self._model = load_model(Path(context.artifacts["model"]))

    # A data frame or pixels. MLflow tries to make a schema of most other hints, and complains.
    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> Any:
        """Return embeddings or scores of pairs, see `reid.tracking.serving.predict`."""
        del context, params  # part of MLflow's interface
        return predict(self._model, model_input)


mlflow.models.set_model(ReidModel())

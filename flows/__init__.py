"""Prefect flows over the DVC graph: when and where stages run, with retries and progress.

The graph itself is written once, in `dvc.yaml`. Nothing here touches a tensor or an image.
"""

from flows.environment import prepare_environment

# before Prefect is imported anywhere, because it reads its settings on import
prepare_environment()

"""Packages by their recorded version; nothing is imported for it."""

from functools import partial
from importlib.metadata import PackageNotFoundError, version

from reid.doctor.finding import Finding, Seen, examine

GROUP = "packages"
INSTALL = "Run `make install`."
NEEDED = ("timm", "lightning", "mlflow", "prefect", "dvc", "great-expectations", "numba")
FAISS = ("faiss-gpu", "faiss-cpu")
OPTIONAL = {
    "triton": "It comes with torch on Linux.",
    "mamba-ssm": "For ReIDMamba on an NVIDIA GPU: `pip install 'reidflow[mamba]'`, see README.",
    "causal-conv1d": "Nothing here uses it; mamba-ssm can.",
}


def findings() -> list[Finding]:
    """Look up versions."""
    found = [examine(GROUP, name, partial(_version, name), INSTALL) for name in NEEDED]
    found.append(examine(GROUP, "faiss", partial(_version, *FAISS), INSTALL))
    return found + [
        examine(GROUP, name, partial(_version, name), remedy, needed=False)
        for name, remedy in OPTIONAL.items()
    ]


def _version(*names: str) -> Seen:
    for name in names:
        try:
            found = version(name)
        except PackageNotFoundError:
            continue
        return Seen(found if len(names) == 1 else f"{found} ({name})", {"version": found})
    raise LookupError("not installed")

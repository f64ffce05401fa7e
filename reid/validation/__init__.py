"""The gate before training. The only package that imports great_expectations.

The library takes seconds to import; nothing here imports it before a gate runs.
"""

from reid.validation.gate import run_gate
from reid.validation.report import GateReport, Outcome
from reid.validation.suite import rebuild_suite

__all__ = ["GateReport", "Outcome", "rebuild_suite", "run_gate"]

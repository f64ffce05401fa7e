"""Stage `register@<run>`: put a trained and measured model into the MLflow registry."""

import json

from reid.files import write_whole
from reid.report.comparison import protocol_fields
from reid.retrieval.result import Result
from reid.stages.paths import model_folder, registry_file, results_folder
from reid.stages.training_run import restore_training_run
from reid.study import load_study
from reid.tracking.away import store_needed
from reid.tracking.model_card import Conditions
from reid.tracking.provenance import collect_provenance
from reid.tracking.registry import register_model


def register_run(name: str) -> None:
    """Register the model of a run with its metrics and lineage, and write the record."""
    study = load_study()
    result = Result.load(results_folder(study.study), name)
    home = study.run(name).test
    tests = {
        test: Conditions(
            str(card["dataset"]),
            str(card["manifest_digest"]),
            {k: v for k, v in protocol_fields(card).items() if k != "manifest_digest"},
        )
        for test, card in sorted(result.cards.items(), key=lambda item: item[1]["dataset"] != home)
    }
    with store_needed():
        restore_training_run(study, name)
        record = register_model(
            model_folder(study.study, name),
            result,
            tests,
            study.registration.intended_use,
            provenance=collect_provenance(study, name),
        )
    write_whole(
        registry_file(study.study, name), json.dumps(record, indent=2, sort_keys=True) + "\n"
    )
    print(f"{name}: {record['name']} version {record['version']}")

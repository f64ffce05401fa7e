"""Stage `evaluate@<run>`: score the embeddings of a run, plain and re-ranked."""

from pathlib import Path

from reid.files import whole_folder
from reid.progress import progress
from reid.report.evaluation_sheet import draw_sheet
from reid.report.ranked_lists import draw_ranked_lists
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.evaluate import Evaluation, EvaluationSettings, evaluate
from reid.retrieval.expansion import ExpansionParams
from reid.retrieval.protocols import protocol_named
from reid.retrieval.reranking import RerankParams
from reid.retrieval.result import Result
from reid.stages.paths import embeddings_folder, open_images, results_folder
from reid.stages.pictures import ranked_rows
from reid.stages.sheets import sheet_of
from reid.study import Study, load_study


def evaluate_run(name: str) -> None:
    """Write the result record, the matching curves and the ranked-list pictures of a run."""
    study = load_study()
    stores = embeddings_folder(study.study, name)
    target = results_folder(study.study)
    evaluations = []
    ranked, sheets = target / "ranked" / name, target / "sheets" / name
    with whole_folder(ranked) as pictures, whole_folder(sheets) as overview:
        for dataset in study.run(name).test_sets:
            embeddings = Embeddings.load(stores / dataset)
            for protocol in study.dataset(dataset).protocols:
                evaluation = _evaluate(study, embeddings, protocol)
                evaluations.append(evaluation)
                _draw(study, name, embeddings, evaluation, pictures)
                sheet = f"{dataset}_{protocol}.png"
                draw_sheet(
                    sheet_of(evaluation, f"{name} on {evaluation.test_set}"), overview / sheet
                )
    result = Result.of(name, evaluations)
    result.save(target)
    for metric, value in sorted(result.metrics.items()):
        print(f"{metric} {100 * value:.2f}")


def _evaluate(study: Study, embeddings: Embeddings, protocol: str) -> Evaluation:
    chosen = study.evaluation
    rerank = RerankParams(chosen.rerank.k1, chosen.rerank.k2, chosen.rerank.lambda_)
    settings = EvaluationSettings(
        rerank,
        tuple(ExpansionParams(**entry.model_dump()) for entry in chosen.expansions),
        chosen.max_rank,
        chosen.memory_mb and chosen.memory_mb * 10**6,
        chosen.device,
        search=chosen.search,
    )
    return evaluate(embeddings, protocol_named(protocol), settings, progress)


def _draw(
    study: Study, run: str, embeddings: Embeddings, evaluation: Evaluation, folder: Path
) -> None:
    if not study.evaluation.pictures:
        return
    dataset = evaluation.dataset
    storage = open_images(dataset, study.dataset(dataset))
    for setting in evaluation.scores:
        rows = ranked_rows(embeddings, evaluation, setting, study.evaluation.pictures)
        path = folder / f"{dataset}_{evaluation.protocol}_{setting}.png"
        draw_ranked_lists(rows, storage, path, f"{run} on {evaluation.test_set}, {setting}")

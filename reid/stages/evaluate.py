"""Stage `evaluate@<run>`: score the embeddings of a run, plain and re-ranked."""

from pathlib import Path

from reid.files import whole_folder
from reid.report.ranked_lists import draw_ranked_lists
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.evaluate import Evaluation, evaluate
from reid.retrieval.protocols import protocol_named
from reid.retrieval.reranking import RerankParams
from reid.retrieval.result import Result
from reid.stages.paths import embeddings_folder, open_images, results_folder
from reid.stages.pictures import ranked_rows
from reid.study import Study, load_study


def evaluate_run(name: str) -> None:
    """Write the result record, the matching curves and the ranked-list pictures of a run."""
    study = load_study()
    stores = embeddings_folder(study.study, name)
    target = results_folder(study.study)
    evaluations = []
    with whole_folder(target / "ranked" / name) as pictures:
        for dataset in study.run(name).test_sets:
            embeddings = Embeddings.load(stores / dataset)
            for protocol in study.dataset(dataset).protocols:
                evaluation = _evaluate(study, embeddings, protocol)
                evaluations.append(evaluation)
                _draw(study, name, embeddings, evaluation, pictures)
    result = Result.of(name, evaluations)
    result.save(target)
    for metric, value in sorted(result.metrics.items()):
        print(f"{metric} {100 * value:.2f}")


def _evaluate(study: Study, embeddings: Embeddings, protocol: str) -> Evaluation:
    chosen = study.evaluation
    rerank = RerankParams(chosen.rerank.k1, chosen.rerank.k2, chosen.rerank.lambda_)
    return evaluate(
        embeddings, protocol_named(protocol), rerank, chosen.block_size, chosen.max_rank
    )


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

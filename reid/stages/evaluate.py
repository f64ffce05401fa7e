"""Stage `evaluate@<run>`: score the embeddings of a run, plain and re-ranked."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from reid.files import whole_folder
from reid.progress import progress
from reid.report.evaluation_sheet import draw_sheet
from reid.report.ranked_lists import draw_ranked_lists
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.evaluate import Evaluation, EvaluationSettings, Scored, evaluate
from reid.retrieval.expansion import ExpansionParams
from reid.retrieval.protocols import Protocol, protocol_named
from reid.retrieval.reranking import RerankParams
from reid.retrieval.result import Result
from reid.retrieval.space import Space
from reid.retrieval.tlift import TLiftParams
from reid.stages.gap_pictures import draw_gap
from reid.stages.pair_scores import scored_pairs
from reid.stages.paths import embeddings_folder, open_images, results_folder
from reid.stages.pictures import list_note, ranked_rows
from reid.stages.sheets import sheet_of
from reid.study import Study, load_study
from reid.study_evaluation import EvaluationEntry


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
            draw_gap(embeddings, overview / f"modality_gap_{dataset}.png", f"{name} on {dataset}")
            with scored_pairs(study, name, embeddings) as scored:
                settings = _settings(study.evaluation, scored)
                for protocol in map(protocol_named, study.dataset(dataset).protocols):
                    evaluation = evaluate(embeddings, protocol, settings, progress, scored)
                    evaluations.append(evaluation)
                    folders = pictures, overview
                    draw_evaluation(study, name, embeddings, evaluation, protocol, folders)
    save_result(name, evaluations, target)


def save_result(name: str, evaluations: Sequence[Evaluation], folder: Path) -> None:
    """Write the record of a run, with what a query costs on its cards, and print its figures."""
    result = Result.of(name, map(_with_query_time, evaluations))
    result.save(folder)
    for metric, value in sorted(result.metrics.items()):
        print(f"{metric} {100 * value:.2f}")


def _with_query_time(evaluation: Evaluation) -> Evaluation:
    card = evaluation.card
    cost = {**card.get("cost", {}), "seconds_per_query": evaluation.query_seconds}
    return replace(evaluation, card={**card, "cost": cost})


def _settings(chosen: EvaluationEntry, scored: Scored | None) -> EvaluationSettings:
    """Return what the study asks for, as far as all pairs were scored."""
    whole = scored is None or isinstance(scored.source, Space)
    return EvaluationSettings(
        rerank=RerankParams(chosen.rerank.k1, chosen.rerank.k2, chosen.rerank.lambda_)
        if whole
        else None,
        variants=tuple(dict.fromkeys(chosen.rerank_variants)) if scored is None else (),
        expansions=tuple(ExpansionParams(**entry.model_dump()) for entry in chosen.expansions)
        if scored is None
        else (),
        lift=TLiftParams(**chosen.lift.model_dump()) if chosen.lift else None,
        max_rank=chosen.max_rank,
        memory=chosen.memory_mb and chosen.memory_mb * 10**6,
        device=chosen.device,
        search=chosen.search if scored is None else "exact",
    )


def draw_evaluation(
    study: Study,
    run: str,
    embeddings: Embeddings,
    evaluation: Evaluation,
    protocol: Protocol,
    folders: tuple[Path, Path],
) -> None:
    """Draw the ranked lists into the first folder and the overview into the second."""
    folder, overview = folders
    sheet = f"{evaluation.dataset}_{evaluation.protocol}.png"
    draw_sheet(sheet_of(evaluation, f"{run} on {evaluation.test_set}"), overview / sheet)
    if not study.evaluation.pictures:
        return
    dataset = evaluation.dataset
    storage = open_images(dataset, study.dataset(dataset))
    for setting in evaluation.scores:
        rows = ranked_rows(embeddings, evaluation, protocol, setting, study.evaluation.pictures)
        path = folder / f"{dataset}_{evaluation.protocol}_{setting}.png"
        title = f"{run} on {evaluation.test_set}, {setting}"
        draw_ranked_lists(rows, storage, path, title, list_note(protocol))

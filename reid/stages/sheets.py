"""What is said and drawn of an evaluation, beside its table of scores."""

from reid.report.evaluation_sheet import Sheet
from reid.retrieval.evaluate import Evaluation


def sheet_of(evaluation: Evaluation, title: str) -> Sheet:
    """Gather what the picture of an evaluation shows."""
    return Sheet(
        title=title,
        lines=facts_of(evaluation),
        curves={setting: found.cmc for setting, found in evaluation.scores.items()},
        precisions={
            setting: found.average_precision for setting, found in evaluation.scores.items()
        },
        mean={setting: found.mAP for setting, found in evaluation.scores.items()},
        pairs=evaluation.breakdown.pairs,
        cameras=evaluation.breakdown.cameras,
        first_camera=evaluation.card.get("first_camera", 0),
    )


def facts_of(evaluation: Evaluation) -> tuple[str, ...]:
    """Say what must stand beside the numbers."""
    card = evaluation.card
    queries = f"{card['queries']:,} queries"
    if card["valid_queries"] != card["queries"]:
        queries += f" of which {card['valid_queries']:,} have a match"
    trials = f", {card['trials']} trials" if card["trials"] > 1 else ""
    files = ""
    if "files" in card:
        trials += f", {len(card['files'])} files"
        files = " in the first file"
    excluded = card["exclusion_rule"].removesuffix("; none")
    if card["places"] != "none":
        excluded += f" ({card['places']})"
    lines = (
        f"{queries}; {card['gallery']:,} gallery images{files}; excluded: {excluded}",
        f"{card['distance'].replace('_', ' ')} distance, normalisation {card['normalisation']}; "
        f"gallery draw: {card['gallery_draw']}{trials}; counted: {card['counting']}",
    )
    remarks = tuple(f"{name} {said}" for name, said in card["rerank_variants"].items())
    figures = evaluation.breakdown.figures()
    if not figures:
        return (*lines, *remarks)
    rates = ", ".join(
        f"{100 * value:.2f} at {float(name.rpartition('_')[2]):.2%}"
        for name, value in figures.items()
        if name.startswith("tpr_")
    )
    return (
        *lines,
        *remarks,
        f"pairs: equal error rate {figures['eer']:.2%}; true positives {rates} false",
    )

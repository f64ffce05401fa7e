"""The command line: parse, import lazily, call one function.

Only the standard library's light modules are imported here, so that `reid --help` answers at once.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

SIZES = ("smoke", "demo", "bench", "bench_hr")

# Nothing phones home, and nothing looks for an MLflow or Hugging Face server on its own.
QUIET = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}

EXIT_CODES = """exit codes:
  0  done
  1  a bug: please report the traceback
  2  the command line is wrong
  3  a study, a recipe or a parameter is wrong
  4  files, manifest or images are missing or damaged
  5  the data do not pass the validation suite
  6  weights do not fit or cannot be read safely
  7  the evaluation has no defined result
  8  the model may not be registered, or did not come back as it was logged

examples:
  dvc repro                                  run the whole active study
  reid study use ablations && dvc repro      run another one
  reid synth sheet sheet.png --domain A      look at a generated world
  reid train transreid                       one stage by hand (inputs must exist)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = options.command
    from reid.errors import ReidError

    try:
        command(options)
    except ReidError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; the same command resumes", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="reid",
        description="Person re-identification as a reproducible pipeline.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_study(commands)
    _add_data(commands)
    _add_synth(commands)
    _add_stages(commands)
    _add_suite(commands)
    _add_weights(commands)
    return parser


Commands = argparse._SubParsersAction  # the public API has no name for it


def _add_study(commands: "Commands[argparse.ArgumentParser]") -> None:
    study = commands.add_parser("study", help="list the studies, or put one in place")
    verbs = study.add_subparsers(metavar="VERB", required=True)
    verbs.add_parser("list", help="stored studies; the active one is marked").set_defaults(
        command=_study_list
    )
    use = verbs.add_parser("use", help="copy params/studies/NAME.yaml to params/study.yaml")
    use.add_argument("name", help="name of the study")
    use.add_argument("--force", action="store_true", help="drop edits of the active study")
    use.set_defaults(command=_study_use)


def _add_data(commands: "Commands[argparse.ArgumentParser]") -> None:
    data = commands.add_parser("data", help="make, index or show a dataset of the study")
    verbs = data.add_subparsers(metavar="VERB", required=True)
    build = verbs.add_parser("build", help="stage data@DATASET: generate or index, write manifest")
    build.add_argument("dataset", help="name in the study")
    build.set_defaults(command=_data_build)
    show = verbs.add_parser("show", help="counts per split, terms of use, digest")
    show.add_argument("dataset", help="name in the study")
    show.set_defaults(command=_data_show)


def _add_synth(commands: "Commands[argparse.ArgumentParser]") -> None:
    synth = commands.add_parser("synth", help="look at a synthetic world without a study")
    verbs = synth.add_subparsers(metavar="VERB", required=True)
    sheet = verbs.add_parser("sheet", help="contact sheet: people by cameras, as one PNG")
    sheet.add_argument("path", type=Path, help="PNG to write")
    sheet.add_argument("--size", choices=SIZES, default="demo", help="default: demo")
    sheet.add_argument("--domain", choices=("A", "B"), default="A", help="default: A")
    sheet.add_argument("--seed", type=int, default=2, help="seed of the world (default: 2)")
    sheet.add_argument("--people", type=int, default=8, help="rows (default: 8)")
    sheet.set_defaults(command=_synth_sheet)


def _add_stages(commands: "Commands[argparse.ArgumentParser]") -> None:
    table: tuple[tuple[str, str, Callable[[argparse.Namespace], None], str], ...] = (
        ("validate", "dataset", _validate, "gate of a dataset: report and Data Docs"),
        ("train", "run", _train, "train a run, or resume it"),
        ("embed", "run", _embed, "features of a run's test sets"),
        ("evaluate", "run", _evaluate, "score a run, plain and re-ranked"),
        ("register", "run", _register, "register a run's model in MLflow"),
    )
    for name, subject, command, text in table:
        stage = commands.add_parser(name, help=text, description=f"Stage {name}@: {text}.")
        stage.add_argument(subject, help="name in the active study")
        stage.set_defaults(command=command)
    compare = commands.add_parser("compare", help="table of all runs of the study")
    compare.set_defaults(command=_compare)
    table_only = commands.add_parser("results", help="print the results of the active study")
    table_only.set_defaults(command=_results)


def _add_suite(commands: "Commands[argparse.ArgumentParser]") -> None:
    suite = commands.add_parser("suite", help="write a validation suite anew")
    verbs = suite.add_subparsers(metavar="VERB", required=True)
    rebuild = verbs.add_parser("rebuild", help="write params/validation/NAME.json from the code")
    rebuild.add_argument("name", nargs="?", default="person", help="default: person")
    rebuild.set_defaults(command=_suite_rebuild)


def _add_weights(commands: "Commands[argparse.ArgumentParser]") -> None:
    weights = commands.add_parser(
        "import",
        help="turn a published checkpoint into a model directory",
        description="Turn a published fine-tuned checkpoint into a model directory.",
        epilog="example: reid import transformer_120.pth models/market/transreid "
        "--recipe params/methods/transreid/market1501_transreid_stride.yaml --dataset market1501",
    )
    weights.add_argument("checkpoint", type=Path, help="published .pth or .safetensors file")
    weights.add_argument("folder", type=Path, help="model directory to write")
    weights.add_argument("--recipe", type=Path, required=True, help="recipe it was trained with")
    weights.add_argument("--dataset", required=True, help="training dataset, built in the study")
    weights.set_defaults(command=_import_weights)


def _study_list(_options: argparse.Namespace) -> None:
    from reid.stages.study import list_studies

    for name, active in list_studies():
        print(f"{'*' if active else ' '} {name}")


def _study_use(options: argparse.Namespace) -> None:
    from reid.stages.study import use_study

    use_study(options.name, options.force)


def _data_build(options: argparse.Namespace) -> None:
    from reid.stages.data import build_dataset

    build_dataset(options.dataset)


def _data_show(options: argparse.Namespace) -> None:
    from reid.stages.data import describe_dataset

    print(describe_dataset(options.dataset))


def _synth_sheet(options: argparse.Namespace) -> None:
    from reid.data.synthetic import WorldSpec, contact_sheet

    spec = WorldSpec(options.size, options.domain, options.seed)
    contact_sheet(spec, options.path, options.people)
    print(options.path)


def _suite_rebuild(options: argparse.Namespace) -> None:
    from reid.validation.suite import rebuild_suite

    print(rebuild_suite(options.name, Path("params/validation")))


def _validate(options: argparse.Namespace) -> None:
    from reid.stages.validate import validate_dataset

    validate_dataset(options.dataset)


def _train(options: argparse.Namespace) -> None:
    from reid.stages.train import train_run

    train_run(options.run)


def _embed(options: argparse.Namespace) -> None:
    from reid.stages.embed import embed_run

    embed_run(options.run)


def _evaluate(options: argparse.Namespace) -> None:
    from reid.stages.evaluate import evaluate_run

    evaluate_run(options.run)


def _register(options: argparse.Namespace) -> None:
    from reid.stages.register import register_run

    register_run(options.run)


def _compare(_options: argparse.Namespace) -> None:
    from reid.stages.compare import compare_runs

    compare_runs()


def _results(_options: argparse.Namespace) -> None:
    from reid.stages.compare import print_results

    print_results()


def _import_weights(options: argparse.Namespace) -> None:
    from reid.stages.import_weights import import_weights

    import_weights(options.checkpoint, options.folder, options.recipe, options.dataset)


if __name__ == "__main__":
    sys.exit(main())

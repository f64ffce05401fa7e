"""The command line: parse, import lazily, call one function.

Only the standard library's light modules are imported here, so that `reid --help` answers at once.
"""

import argparse
import errno
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from reid.cli_data import Commands, add_data_commands, add_synth_commands
from reid.cli_doctor import add_doctor_command
from reid.cli_evaluate import add_evaluate_command
from reid.cli_explain import add_explain_command
from reid.cli_lineage import add_lineage_commands
from reid.cli_pretrain import add_pretrain_commands
from reid.cli_registry import add_registry_commands
from reid.cli_services import add_services_commands
from reid.cli_tracking import add_tracking_commands
from reid.cli_train import add_train_command

# Nothing phones home, and nothing looks for an MLflow or Hugging Face server on its own.
QUIET = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}

DISK_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)

EXIT_CODES = """exit codes:
  0  done
  1  a bug: please report the traceback
  2  the command line is wrong
  3  a study, a recipe or a parameter is wrong
  4  files, manifest or images are missing or damaged
  5  the data do not pass the validation suite
  6  weights do not fit or cannot be read safely
  7  the evaluation has no defined result
  8  the model may not be registered or promoted, or did not come back as it was logged
  9  a training was stopped, as it could only get worse
 10  `reid doctor` found something broken
 11  a reproduction came to other numbers
 12  a service of `reid up` cannot run

examples:
  dvc repro                                  run the whole active study
  reid study use ablations && dvc repro      run another one
  reid synth sheet sheet.png --domain A      look at a generated world
  reid data add market1501 Market-1501.zip   register a dataset of your own disk
  reid pretrain personvit                    a backbone from images without labels
  reid train transreid                       one stage by hand (inputs must exist)
  reid evaluate features.npz                 score the features of another toolkit
  reid promote transreid --because "..."     make it champion, if the gates let it pass
  reid lineage transreid                     from a registered model back to raw files
  reid up                                    Prefect, a worker and MLflow: runs by clicks
  reid doctor                                what works on this machine, and how fast
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = options.command
    from reid.errors import DataError, ReidError, ReidWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", ReidWarning)
            warnings.showwarning = _one_line(warnings.showwarning)
            with _as_stage(options):
                command(options)
    except ReidError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # whoever read the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in DISK_TROUBLE:
            raise
        name = error.filename2 or error.filename
        where = f"{name}: " if name else ""
        print(
            f"error: {where}{os.strerror(error.errno)}; expected room and the right to write. "
            "Free space or mend the rights, then repeat the command.",
            file=sys.stderr,
        )
        return DataError.exit_code
    except KeyboardInterrupt:
        print("interrupted; the same command resumes", file=sys.stderr)
        return 130
    return 0


def _as_stage(options: argparse.Namespace) -> AbstractContextManager[None]:
    """Keep a second process off what this command writes, if it is the one of a stage."""
    by_hand = getattr(options, "stage", "").format_map(vars(options))
    if not by_hand and "DVC_STAGE" not in os.environ:
        return nullcontext()
    from reid.stages.alone import dvc_stage, end_with_dvc, one_at_a_time

    end_with_dvc()
    return one_at_a_time(dvc_stage() or by_hand)


def _one_line(usual: Callable[..., None]) -> Callable[..., None]:
    """Show our own warnings without the place in the code."""
    from reid.errors import ReidWarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, ReidWarning):
            print(f"warning: {message}", file=sys.stderr)
        else:
            usual(message, category, *place, **more)

    return show


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="reid",
        description="Person re-identification as a reproducible pipeline.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_study(commands)
    add_data_commands(commands)
    add_synth_commands(commands)
    _add_stages(commands)
    add_train_command(commands)
    add_evaluate_command(commands)
    add_pretrain_commands(commands)
    add_explain_command(commands)
    add_registry_commands(commands)
    add_tracking_commands(commands)
    add_lineage_commands(commands)
    _add_suite(commands)
    _add_weights(commands)
    add_services_commands(commands)
    add_doctor_command(commands)
    return parser


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


def _add_stages(commands: "Commands[argparse.ArgumentParser]") -> None:
    table: tuple[tuple[str, str, Callable[[argparse.Namespace], None], str], ...] = (
        ("validate", "dataset", _validate, "gate of a dataset: report and Data Docs"),
        ("embed", "run", _embed, "features of a run's test sets"),
        ("shortlist", "name", _shortlist, "score what one run finds first by a run of pairs"),
        ("register", "run", _register, "register a run's model in MLflow"),
    )
    for name, subject, command, text in table:
        stage = commands.add_parser(name, help=text, description=f"Stage {name}@: {text}.")
        stage.add_argument(subject, help="name in the active study")
        stage.set_defaults(command=command, stage=f"{name}@{{{subject}}}")
    compare = commands.add_parser("compare", help="table of all runs of the study")
    compare.set_defaults(command=_compare, stage="compare")
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


def _suite_rebuild(options: argparse.Namespace) -> None:
    from reid.validation.suite import rebuild_suite

    print(rebuild_suite(options.name, Path("params/validation")))


def _validate(options: argparse.Namespace) -> None:
    from reid.stages.validate import validate_dataset

    validate_dataset(options.dataset)


def _shortlist(options: argparse.Namespace) -> None:
    from reid.stages.shortlist import evaluate_shortlist

    evaluate_shortlist(options.name)


def _embed(options: argparse.Namespace) -> None:
    from reid.stages.embed import embed_run

    embed_run(options.run)


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

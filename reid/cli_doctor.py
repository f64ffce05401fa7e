"""The command `reid doctor`: what of this machine works, and how fast it is."""

import argparse

from reid.cli_data import Commands

_EXAMPLES = """examples:
  reid doctor                       a table, within half a minute
  reid doctor --json > doctor.json  the same for a program, or for a question to others

What is marked `no` one can do without; what is marked BROKEN one cannot: the exit code is 10.
"""


def add_doctor_command(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add `reid doctor`."""
    doctor = commands.add_parser(
        "doctor",
        help="look at this machine: what works, what is missing, how fast it is",
        description="Look at this machine: its processor and GPUs, the versions of what is "
        "installed, which backends of the selective scan can be used and which is taken, and "
        "short timed trials with a check of their results.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    doctor.add_argument("--json", action="store_true", help="print JSON instead of a table")
    doctor.set_defaults(command=_doctor)


def _doctor(options: argparse.Namespace) -> None:
    from reid.doctor.report import doctor

    doctor(as_json=options.json)

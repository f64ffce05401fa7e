"""Run a command as long as standard input stays open: `python -I supervise.py COMMAND …`.

The starter holds the other end of the pipe, so its death, however sudden, closes it; then the whole
process group is ended. The command's own standard input is the first line of it, unless that is
empty. Started by path and without imports of the package, so that it is there in
milliseconds. It must be the leader of its own process group.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

# what a stage has between SIGTERM and SIGKILL
GRACE_SECONDS = 2.0


def main(command: list[str]) -> int:
    """Run `command` and return its exit status, 128 + n for signal n."""
    # a handler, unlike SIG_IGN, is not inherited: the command still ends on SIGTERM
    signal.signal(signal.SIGTERM, lambda *_: None)
    child = subprocess.Popen(command, stdin=subprocess.PIPE)
    stopping = threading.Event()
    stopper = threading.Thread(target=_follow_input, args=[child, stopping], daemon=True)
    stopper.start()
    code = child.wait()
    if stopping.is_set():
        stopper.join()
    return code if code >= 0 else 128 - code


def _follow_input(child: subprocess.Popen[bytes], stopping: threading.Event) -> None:
    """Hand the first line of input to the command, and end the group with the input."""
    # not by way of sys.stdin, whose lock this thread would hold when the program ends
    source, line = sys.stdin.fileno(), b""
    while not line.endswith(b"\n") and (part := os.read(source, 65536)):
        line += part
    if child.stdin is not None:
        with suppress(BrokenPipeError), child.stdin as pipe:
            pipe.write(line if line.strip() else b"")
    while os.read(source, 1):
        pass
    stopping.set()
    os.killpg(0, signal.SIGTERM)
    end = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < end and _others_live():
        time.sleep(0.02)
    # this process too: nobody is left to hear its exit status
    os.killpg(0, signal.SIGKILL)


def _others_live() -> bool:
    """Tell whether another process of the group lives; yes where there is no /proc to say."""
    processes = Path("/proc")
    if not (processes / "self").exists():
        return True
    own = os.getpgid(0)
    for entry in processes.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            text = (entry / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:  # it has just ended
            continue
        state, _, group = text.rpartition(")")[2].split()[:3]
        if int(group) == own and state != "Z":
            return True
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

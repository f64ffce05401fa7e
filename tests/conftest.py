"""What all tests share: how many threads a process may use."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # Each worker has about one core. With a thread for every core in every worker, those of torch
    # wait for each other in busy loops, and small networks take many times as long. Set here, as
    # torch reads it once, when it is imported; programs that tests start inherit it.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

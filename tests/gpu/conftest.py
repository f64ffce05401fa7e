"""Tests of an accelerator are collected only where torch finds one."""

import torch

collect_ignore_glob = [] if torch.cuda.is_available() else ["test_*.py"]

"""Makes `workbenches` and the tiny problems of the methods' tests importable; one thread."""

import sys
from pathlib import Path

import pytest
import torch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "methods")]


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)

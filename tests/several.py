"""Processes that share a command, started as a launcher starts them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from command_line import Done

TESTS = Path(__file__).parent


def launch(*words: str, count: int = 2, **environment: str) -> list[Done]:
    """Run `python WORDS` in so many processes to their ends; the main one's comes first."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {
        "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port, "PYTHONPATH": f"{TESTS}:{TESTS / 'methods'}", "COLUMNS": "120",
    }  # fmt: skip
    started = [
        subprocess.Popen(
            [sys.executable, *words], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, **shared, **environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(count)
    ]  # fmt: skip
    try:
        ended = [(process, *process.communicate(timeout=300)) for process in started]
    finally:
        for process in started:
            process.kill()
    return [Done(process.returncode, out, err) for process, out, err in ended]

"""Whether W&B can be reached, found out without waiting for it and without asking anybody."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Event, Thread
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

SECONDS = 2.0  # for a connection to be made; where there is a network it takes a tenth of one


def silenced() -> str:
    """The server that W&B's settings name; from here on W&B says nothing on the terminal."""
    import wandb

    session = wandb.setup(wandb.Settings(silent=True))
    return str(session.settings.base_url)


def why_not() -> str | None:
    """Why nothing can be uploaded now, in a few words; None where all that is needed is there."""
    import wandb

    server = silenced()
    mode = wandb.setup().settings.mode
    if mode not in ("online", "run"):
        return f"WANDB_MODE={mode}"
    return without_key() or without_answer(server)


def without_key() -> str | None:
    """What is wrong with the key, in a few words; None where there is one. Nobody is asked for it."""
    import wandb

    try:
        known = wandb.login(prompt=False, verify=False)
    except wandb.errors.AuthenticationError:  # its message may quote what it read
        return "the key is not one of W&B's"
    return None if known else "no key: WANDB_API_KEY or `wandb login`"


def without_answer(server: str) -> str | None:
    """That the server is out of reach; None where it is not."""
    return None if answers(server) else f"no answer from {urlsplit(server).hostname}"


def answers(server: str) -> bool:
    """Whether a server, or the proxy on the way to it, takes connections within SECONDS.

    Looking a name up knows no time limit: it is left to a thread that nobody waits for any longer.
    """
    host, port = _first_stop(server)
    made = Event()

    def connect() -> None:
        with suppress(OSError), socket.create_connection((host, port), timeout=SECONDS):
            made.set()
        done.set()

    done = Event()
    Thread(target=connect, daemon=True).start()
    done.wait(SECONDS)
    return made.is_set()


def _first_stop(server: str) -> tuple[str, int]:
    """Host and port that a request to the server goes to."""
    at = urlsplit(server)
    proxy = getproxies().get(at.scheme)
    if proxy and not proxy_bypass(at.hostname or ""):
        at = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return at.hostname or "", at.port or (443 if at.scheme == "https" else 80)

"""The way to the Hugging Face hub: a repository made, and one commit of all files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mubench.errors import RunFailed, UsageError

Files = Mapping[str, bytes | Path]
NO_TOKEN = (
    "the hub wants a token: `hf auth login` keeps one, or set HF_TOKEN (huggingface.co/settings/tokens)"
)


def check(repository: str) -> None:
    """UsageError for what is no name of a repository."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise UsageError(f"'{repository}' is no name of a repository: USER/NAME ({error})") from error
    if "/" not in repository:
        raise UsageError(f"'{repository}' is no name of a repository: USER/NAME")


def push(repository: str, files: Files, private: bool, message: str) -> str:
    """Upload all files in one commit and return its address; UsageError without a token."""
    from huggingface_hub import CommitOperationAdd, HfApi, get_token

    token = get_token()
    if token is None:
        raise UsageError(NO_TOKEN)
    operations = [CommitOperationAdd(name, content) for name, content in files.items()]
    with _told(repository, token):
        api = HfApi(token=token)
        api.create_repo(repository, private=private, exist_ok=True)
        if private and not api.repo_info(repository).private:
            raise UsageError(
                f"{repository} is there already and public: --private cannot hide what is sent there"
            )
        return str(api.create_commit(repository, operations, commit_message=message).commit_url)


@contextmanager
def _told(repository: str, token: str) -> Iterator[None]:
    """What the hub or the network says against it as one sentence, in which no token stands."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    try:
        yield
    except UsageError:
        raise
    except OfflineModeIsEnabled as error:
        raise UsageError("HF_HUB_OFFLINE=1 keeps everything from the hub: unset it to push") from error
    except Exception as error:  # those of its HTTP client, which is not the same in every version
        said = " ".join(str(error).replace(token, "[token]").split())
        raise RunFailed(f"the hub did not take {repository}: {said[:400]}") from None

"""Whether a failure means that the tracking store is away for now, or that it refuses."""

import errno
import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from mlflow.exceptions import MlflowException, RestException
from sqlalchemy.exc import OperationalError

from reid.errors import RegistryError, ReidError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_BUSY = ("database is locked", "database is busy", "database or disk is full", "disk I/O error")
_ANSWER = re.compile(r"failed with error code (\d{3})")
_LOUD = ("mlflow.store.db.utils", "urllib3.connectionpool")


def is_away(error: BaseException) -> bool:
    """Tell whether the same request may succeed later.

    True where the server cannot be reached, does not answer in time, or answers 408, 429 or 5xx;
    where SQLite is locked; and where a disk is full. Refusals and bugs are not.
    """
    return any(_tells_away(link) for link in _chain(error))


def is_full(error: BaseException) -> bool:
    """Tell whether a disk has no room, or no more for this user."""
    return any(isinstance(link, OSError) and link.errno in NO_ROOM for link in _chain(error))


def reason(error: BaseException) -> str:
    """Return the innermost cause in one line."""
    return " ".join(str([*_chain(error)][-1]).split())[:200]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep MLflow and urllib3 from printing what is about to be told in one line."""
    loggers = [logging.getLogger(name) for name in _LOUD]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def store_needed() -> Iterator[None]:
    """Turn a store that is away into one line, where nothing can be written down for later.

    Raises:
        RegistryError: The store is away.
    """
    try:
        with quiet():
            yield
    except ReidError:
        raise
    except Exception as error:
        if not is_away(error):
            raise
        raise RegistryError(
            f"the MLflow store is away ({reason(error)})",
            "a store that answers, and room on its disk",
            "Start the server or free the disk, then repeat the command.",
        ) from error


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _tells_away(error: BaseException) -> bool:
    match error:
        case requests.HTTPError(response=response) if response is not None:
            return _may_pass(response.status_code)
        case requests.ConnectionError() | requests.Timeout() | requests.exceptions.RetryError():
            return True
        case sqlite3.OperationalError() | OperationalError():
            return any(word in str(error) for word in _BUSY)
        case RestException():
            return _may_pass(int(error.get_http_status_code()))
        case MlflowException():
            answer = _ANSWER.search(str(error))
            return answer is not None and _may_pass(int(answer.group(1)))
        case OSError():
            return error.errno in NO_ROOM
    return False


def _may_pass(status: int) -> bool:
    return status in (408, 429) or status >= 500

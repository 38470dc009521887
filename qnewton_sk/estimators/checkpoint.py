"""Checkpoints: the whole state of a fit in a file, written atomically, from which the same fit goes on."""

import os
import pickle
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass

import joblib

from qnewton_sk.versions import __version__

SECONDS_BETWEEN_WRITES = 2.0
"""Minimum time between two writes: an epoch of a small net takes less than a millisecond."""

NOT_COMPARED = frozenset({"checkpoint", "diagnostics", "n_jobs", "verbose"})
"""Settings that do not change the fitted parameters."""


@dataclass(frozen=True)
class Saved:
    """Contents of a checkpoint: whose fit it is, its journal, and its random numbers, at the start and now."""

    version: str
    identity: Mapping[str, str]
    journal: object
    first_random_state: tuple
    random_state: tuple


class Checkpoint:
    """The file that a fit writes its state to.

    Parameters
    ----------
    path : path-like
        The file; its folder must exist.
    settings : mapping of str to object
        Parameters of the estimator.
    data : mapping of str to object
        X, y, sample_weight and the validation set.
    """

    def __init__(self, path, settings, data):
        self.path = os.fspath(path)
        compared = {name: _named(value) for name, value in settings.items() if name not in NOT_COMPARED}
        self.identity = {name: joblib.hash(value) for name, value in {**compared, **data}.items()}
        self.written = -float("inf")

    def load(self):
        """Return the `Saved` state of this fit, or None if there is no file.

        Raises
        ------
        ValueError
            If the file is no checkpoint, or that of a fit with other data or settings.
        """
        try:
            with open(self.path, "rb") as file:
                saved = pickle.load(file)
        except FileNotFoundError:
            return None
        except Exception as error:
            raise ValueError(self._refusal(f"a file that cannot be read as one ({error})")) from error
        if not isinstance(saved, Saved):
            raise ValueError(self._refusal("a file of something else"))
        if saved.version != __version__:
            raise ValueError(self._refusal(f"one that qnewton_sk {saved.version} has written"))
        names = {*saved.identity, *self.identity}
        other = sorted(name for name in names if saved.identity.get(name) != self.identity.get(name))
        if other:
            raise ValueError(self._refusal(f"one of a fit that differs in {', '.join(other)}"))
        return saved

    def _refusal(self, found):
        return (
            f"`checkpoint` must name a new file or a checkpoint of this same fit; got {self.path!r}, {found}. "
            "Delete the file to fit anew, or pass another path"
        )

    def save(self, journal, first_random_state, random_state, now=False):
        """Write the state, at most every `SECONDS_BETWEEN_WRITES` unless `now`; a crash leaves the old file whole."""
        if not now and time.monotonic() - self.written < SECONDS_BETWEEN_WRITES:
            return
        saved = Saved(__version__, self.identity, journal, first_random_state, random_state.get_state())
        folder = os.path.dirname(os.path.abspath(self.path))
        handle, temporary = tempfile.mkstemp(prefix=os.path.basename(self.path), dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                pickle.dump(saved, file, protocol=pickle.HIGHEST_PROTOCOL)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except BaseException:
            os.unlink(temporary)
            raise
        self.written = time.monotonic()


def check_checkpoint(path):
    """Refuse a `checkpoint` that is no path, or whose folder does not exist, before any work."""
    if path is None:
        return
    try:
        folder = os.path.dirname(os.path.abspath(os.fspath(path)))
    except TypeError:
        raise ValueError(f"`checkpoint` must be None or a path; got {path!r}") from None
    if not os.path.isdir(folder):
        raise ValueError(
            f"`checkpoint` must lie in a folder that exists; got {path!r}. Create {folder!r} first"
        )


def _named(value):
    """Functions by name: their pickles differ from process to process."""
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, (list, tuple)):
        return [_named(item) for item in value]
    return value

"""A model is replaced while it serves: its file is watched, a new one is checked beside the old and takes over."""

import contextlib
import hashlib
import logging
import queue
import reprlib
import signal
import threading
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

from edge.contract import Contract
from edge.errors import BadModelError
from edge.hooks import Served
from edge.model import Loading, Model, load_model
from edge.onnxfile import MAX_MODEL_BYTES

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelFile:
    """What is watched, and what it must be: the arguments of `load_model`."""

    path: Path
    contract_path: Path | None = None
    sha256: str | None = None
    threads: int = 1

    def load(self, loading: Loading | None = None) -> Model:
        """The model, checked and warmed up as at a start.

        Raises: BadModelError saying why it cannot be served, and when `loading` is cancelled.
        """
        try:
            return load_model(self.path, self.contract_path, self.sha256, self.threads, loading)
        except OSError as error:
            raise BadModelError(f"the model file {self.path} cannot be read ({error.strerror})") from None
        except MemoryError:
            raise BadModelError("there is not enough memory for it beside the one that is served") from None

    def stamp(self) -> Hashable:
        """What changes when a file is replaced or written to, without reading it."""
        return tuple(_stamp(path) for path in (self.path, self.contract_path) if path is not None)

    def content(self) -> tuple[Hashable, ...]:
        """The first 12 hex digits of the SHA-256 of each file; where one cannot be read, its stamp in their place."""
        return tuple(_digest(path) or _stamp(path) for path in (self.path, self.contract_path) if path is not None)


class ModelWatch:
    """Looks at the file every `interval_s`, on a thread of its own; `model` is what the classifier's loop asks.

    A file is judged when it has stayed the same from one look to the next, so that one which is being written is left
    alone. The old model goes on until the new one has passed all checks of a start, and its memory is freed when the
    last batch that it serves is written; one that fails is told once, and judged again when the file changes.
    """

    def __init__(self, served: Served, file: ModelFile, interval_s: float) -> None:
        self._served = served
        self._file = file
        self._interval_s = interval_s
        self._seen: Hashable = None
        self._judged: Hashable = None
        self._refused: Hashable = None
        # What serves was read before: where there are other files by now, the first looks tell it by this.
        self._serving: Hashable = tuple(filter(None, (served.model.sha256, served.model.contract_sha256)))
        self._failure: Exception | None = None
        self._is_closed = False
        self._loading = Loading()
        # Its `put` may interrupt itself, as a signal's handler does.
        self._asked: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="model watch", daemon=True)

    def start(self) -> None:
        """Begin to look; on SIGHUP, where the system has it, at once. `close` ends it."""
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, lambda *_: self._asked.put(True))
        self._thread.start()

    def model(self) -> Served:
        """What serves the next batch.

        Raises: whatever has ended the watching.
        """
        if self._failure is not None:
            raise self._failure
        return self._served

    def close(self) -> None:
        """End the thread, and with it the load of a model that would never serve."""
        self._is_closed = True
        self._loading.cancel()
        self._asked.put(False)
        self._thread.join()

    def look(self, is_asked: bool = False) -> None:
        """Look once; when asked, also judge a file that may still be written, and one that was refused, again."""
        stamp = self._file.stamp()
        is_settled, self._seen = stamp == self._seen, stamp
        if is_asked:
            self._refused = None
        elif not is_settled or stamp == self._judged:
            return
        content = self._file.content()
        if content == self._serving:
            self._judged = stamp
            if is_asked or self._refused is not None:
                log.info("the model file is the one that is served")
            self._refused = None
        elif content == self._refused:
            self._judged = stamp
        else:
            self._judge(stamp, content)

    def _judge(self, stamp: Hashable, content: Hashable) -> None:
        reason, self._loading = "", Loading()
        if self._is_closed:
            return
        try:
            model = self._file.load(self._loading)
            _check_images(self._served.model.contract, model.contract)
        except BadModelError as error:
            reason = error.message
        if self._is_closed or self._file.stamp() != stamp:
            # What was read may be half of one file and half of another: the next look, if any, sees what became of it.
            return
        self._judged = stamp
        if reason:
            self._refused = content
            log.warning("the new model is refused, %s goes on: %s", _name(self._served.model), reason)
        else:
            self._refused, self._serving = None, content
            self._take_over(model)

    def _take_over(self, model: Model) -> None:
        old = self._served.model
        if model.contract.labels != old.contract.labels:
            log.warning("the new model has other labels: %s", _compared(old.contract.labels, model.contract.labels))
        self._served = Served(model)
        log.info("now serving %s instead of %s (%s)", _name(model), _name(old), self._file.path)

    def _run(self) -> None:
        try:
            while (is_asked := self._wait()) is not False:
                self.look(bool(is_asked))
        except Exception as error:
            # On this thread nobody would hear of it: the loop raises it.
            self._failure = error

    def _wait(self) -> bool | None:
        """Until the next look: True when it was asked for, False when there is none."""
        with contextlib.suppress(queue.Empty):
            return self._asked.get(timeout=self._interval_s)
        return None


def _stamp(path: Path) -> Hashable:
    try:
        found = path.stat()
    except OSError as error:
        return error.errno
    return found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _digest(path: Path) -> str | None:
    """None for what would not be loaded anyway; reading a pipe, say, would wait for ever."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_MODEL_BYTES:
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError:
        return None


def _check_images(old: Contract, new: Contract) -> None:
    """Whether the requests that are on their way can be answered by either.

    Raises: BadModelError when they cannot.
    """
    if (new.dtype, new.shape) != (old.dtype, old.shape):
        raise BadModelError(
            f"it takes images of shape {list(new.shape)} of {new.dtype}, requests have {list(old.shape)} of {old.dtype}"
        )
    if new.layout and old.layout and new.layout != old.layout:
        raise BadModelError(f"it takes images in layout {new.layout}, requests have {old.layout}")


def _compared(old: tuple[str, ...], new: tuple[str, ...]) -> str:
    added, gone = (reprlib.repr(sorted(set(a) - set(b))) for a, b in ((new, old), (old, new)))
    if set(old) == set(new):
        return "the same in another order"
    return f"{len(new)} instead of {len(old)}, new ones {added}, gone ones {gone}"


def _name(model: Model) -> str:
    return f"{model.contract.name} {model.sha256}"

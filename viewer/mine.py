"""The ids of requests that were sent from a page: their answers are always shown."""

import threading
from collections import OrderedDict

MAX_MINE = 1000


class Mine:
    """The last MAX_MINE of them."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, request_id: str) -> None:
        """A request with this id is about to be sent."""
        with self._lock:
            self._ids[request_id] = None
            if len(self._ids) > MAX_MINE:
                self._ids.popitem(last=False)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._ids

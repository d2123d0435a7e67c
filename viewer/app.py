"""The routes: the page, its files, the events, and a way to send a picture."""

import json
import re
import threading
import time
from collections.abc import AsyncIterator
from functools import partial
from http import HTTPStatus
from importlib import resources
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from edge.errors import EdgeError
from edge.pixels import OCTETS
from viewer.board import Board, Budget, Event
from viewer.guard import App, Receive, Scope, Send
from viewer.mine import Mine
from viewer.sender import Sender

STATIC = Path(str(resources.files("viewer") / "static"))
MAX_PAGES = 32
"""Whoever opens one more is turned away."""
SENT_PER_S = 10.0
"""Requests that all pages together may send."""

BODY_S = 10.0
"""How long a picture may be on its way."""

_FRAME_S = 0.1
_ID = re.compile(r"[0-9a-f]{32}")


class Pages:
    """What the routes work on; `hello` is what a page is told first, `image_bytes` what a picture must have.

    `image_bytes` is None where no picture can be sent.
    """

    def __init__(
        self,
        board: Board,
        mine: Mine,
        sender: Sender,
        hello: dict[str, Any],
        image_bytes: int | None,
        stop: threading.Event,
    ) -> None:
        self._board = board
        self._mine = mine
        self._sender = sender
        self._hello = {"epoch": board.epoch, **hello}
        self._image_bytes = image_bytes
        self._stop = stop
        self._open = 0
        self._writes = Budget(SENT_PER_S)

    def app(self) -> Starlette:
        """The routes."""
        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/events", self._events),
                Route("/requests/{id}", self._send, methods=["POST"]),
                Mount("/static", StaticFiles(directory=STATIC)),
            ]
        )

    async def _page(self, _: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def _events(self, request: Request) -> App:
        if self._open >= MAX_PAGES:
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, f"{MAX_PAGES} pages are open already: close one")
        epoch, _, number = request.headers.get("last-event-id", "").partition("-")
        is_back = epoch == self._board.epoch and number.isascii() and number.isdecimal() and len(number) < 16
        self._open += 1
        stream = StreamingResponse(self._stream(int(number) if is_back else 0), media_type="text/event-stream")

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await stream(scope, receive, send)
            finally:
                self._open -= 1

        return answer

    async def _stream(self, number: int) -> AsyncIterator[str]:
        """Events after `number`, a frame at a time, until the page is closed or this process ends."""
        yield f"retry: 1000\nevent: hello\ndata: {json.dumps(self._hello)}\n\n"
        while not self._stop.is_set():
            if events := self._board.after(number):
                number = events[-1].number
                yield "".join(map(self._line, events))
            await anyio.sleep(_FRAME_S)

    def _line(self, event: Event) -> str:
        return f"id: {self._board.epoch}-{event.number}\nevent: {event.name}\ndata: {event.data}\n\n"

    async def _send(self, request: Request) -> Response:
        """Write the body, the bytes of one image, as a request with the id of the path."""
        name, size = self._wanted(request)
        pixels = await _body(request, size)
        self._mine.add(name)
        try:
            await anyio.to_thread.run_sync(partial(self._sender.send, name, pixels), abandon_on_cancel=True)
        except EdgeError as error:
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, error.message) from None
        return PlainTextResponse(name, HTTPStatus.ACCEPTED)

    def _wanted(self, request: Request) -> tuple[str, int]:
        """The id of a request, and the size that its body must have; raises HTTPException."""
        name = str(request.path_params["id"])
        if self._image_bytes is None:
            raise HTTPException(HTTPStatus.CONFLICT, "this model's images cannot be drawn")
        if not _ID.fullmatch(name):
            raise HTTPException(HTTPStatus.BAD_REQUEST, "the id must be 32 hex digits")
        if request.headers.get("content-type") != OCTETS:
            raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the content-type must be {OCTETS}")
        if not self._writes.takes(time.monotonic()):
            raise HTTPException(HTTPStatus.TOO_MANY_REQUESTS, f"at most {SENT_PER_S:.0f} pictures a second are sent")
        return name, self._image_bytes


async def _body(request: Request, size: int) -> bytes:
    """The body; raises HTTPException when it has another size, as soon as that is known."""
    data = bytearray()
    try:
        with anyio.fail_after(BODY_S):
            async for chunk in request.stream():
                data += chunk
                if len(data) > size:
                    break
    except TimeoutError:
        raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, f"the image took longer than {BODY_S:.0f} s") from None
    except ClientDisconnect:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the connection was closed") from None
    if len(data) != size:
        # Whatever else comes is not waited for.
        close = {"Connection": "close"}
        raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"an image has exactly {size:,} bytes", close)
    return bytes(data)

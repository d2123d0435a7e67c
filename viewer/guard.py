"""Who may talk to the page's server: its own pages, under names of this machine, with the token if there is one.

A page elsewhere must not read predictions or send requests through the browser of somebody who can: neither from
another site, nor under a name that was led to this machine after the page was loaded (DNS rebinding).
"""

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
PAGE = "/"
_OWN_SITE = (None, "same-origin", "none")


class Guard:
    """Stands before the app; `token` is None where none is asked for, `names` are hosts that the page goes by."""

    def __init__(self, app: App, token: str | None, names: tuple[str, ...], port: int) -> None:
        self._app = app
        self._token = token
        self._names = {name.lower() for name in names}
        self._is_local = token is None
        # Browsers do not tell cookies of different ports apart.
        self._cookie = f"edge-viewer-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the app do it; every answer gets HEADERS."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._refusal(scope) or self._login(scope)
        await (answer or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            return PlainTextResponse("this server does not go by that name: see --allowed-host\n", 421)
        is_page = scope["method"] in ("GET", "HEAD") and scope["path"] == PAGE
        if headers.get("sec-fetch-site") not in _OWN_SITE and not is_page:
            return PlainTextResponse("only its own pages may ask this server\n", 403)
        origin = headers.get("origin")
        is_writing = scope["method"] not in ("GET", "HEAD")
        if (is_writing or origin is not None) and _host_of(origin) != hosts[0].lower():
            return PlainTextResponse("only its own pages may write to this server\n", 403)
        return None

    def _login(self, scope: Scope) -> Response | None:
        """A redirection that turns the URL's token into a cookie, a refusal, or None for whoever has the token."""
        if self._token is None:
            return None
        if scope["path"] == PAGE and scope["method"] == "GET":
            (given, *_) = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])
            if self._is_token(given):
                answer = RedirectResponse(PAGE, 303)
                answer.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
                return answer
        if self._is_token(_cookie(Headers(scope=scope).get("cookie", ""), self._cookie)):
            return None
        return PlainTextResponse("open the URL that the server printed when it started: it holds a token\n", 401)

    def _is_token(self, given: str) -> bool:
        return self._token is not None and hmac.compare_digest(given.encode(), self._token.encode())

    def _is_own(self, host: str) -> bool:
        """Whether nobody but this machine's owner can have led this name, or address, here."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in self._names or name == "localhost":
                return True
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self._is_local


def _host_of(origin: str | None) -> str | None:
    """Host and port of an http origin, None for any other."""
    scheme, _, host = (origin or "").partition("://")
    return host.lower() if scheme in ("http", "https") else None


def _cookie(header: str, name: str) -> str:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return "" if found is None else found.value

"""Downloading an image file from a URL: only http and https, in bounded time and memory."""

import http.client
import re
import urllib.error
import urllib.request
from time import monotonic
from typing import Any

from vgg_zoo.images.decoding import BadImageError

MOST_BYTES = 64 * 2**20
"""Longer files are not downloaded."""

SECONDS = 30.0
"""Time limits for the whole file, and for a server that does not answer."""

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_BLOCK = 2**16


def is_url(text: str) -> bool:
    """Whether a text is a URL of any scheme, such as "https://...", and not a path."""
    return _SCHEME.match(text) is not None


def fetched(url: str) -> bytes:
    """The bytes at a URL, after redirections; each redirection is checked.

    Args:
        url: "http://..." or "https://...".

    Raises:
        BadImageError: The scheme is another one, the server does not answer or reports an error, or the download takes
            more than `MOST_BYTES` or `SECONDS`. The message has the reason; the caller names the image.
    """
    try:
        return _bytes_at(url, monotonic() + SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        raise BadImageError(f"the server says {error.code} {error.reason}") from error
    except urllib.error.URLError as error:  # this error has a reason
        raise BadImageError(f"it cannot be fetched: {_reason(error.reason)}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise BadImageError(f"it cannot be fetched: {_reason(error)}") from error


def _bytes_at(url: str, end: float) -> bytes:
    _check(url)
    headers = {"User-Agent": "vgg_zoo", "Accept-Encoding": "identity"}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (checked)
    found = bytearray()
    with _opener(end).open(request, timeout=SECONDS) as response:
        length = response.headers.get("Content-Length") or ""
        _check_size(int(length) if length.isdecimal() else 0)
        while block := response.read1(_BLOCK):  # one packet, so that slow servers reach the time limit
            found += block
            _check_size(len(found))
            _check_time(end)
        if length.isdecimal() and len(found) != int(length):
            raise ValueError(f"the connection ended after {len(found):,} of {int(length):,} bytes")
    return bytes(found)


def _check(url: str) -> None:
    scheme = _SCHEME.match(url)
    if scheme is None or scheme[1].lower() not in ("http", "https"):
        raise ValueError("only http and https addresses are downloaded; give a file by its path")


def _check_size(size: int) -> None:
    if size > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES // 2**20} MiB; download it yourself and give its path")


def _check_time(end: float) -> None:
    if monotonic() > end:
        raise TimeoutError


def _reason(error: Any) -> str:
    if isinstance(error, TimeoutError):
        return f"it takes more than {SECONDS:g} seconds; download it yourself and give its path"
    return str(error) or type(error).__name__


def _opener(end: float) -> urllib.request.OpenerDirector:
    """An opener for http and https only; urllib's own also opens local files and ftp."""

    class Redirected(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
            try:
                _check(newurl)
                _check_time(end)
            except (ValueError, TimeoutError) as error:
                fp.close()
                raise urllib.error.URLError(f"it redirects to {newurl}: {_reason(error)}") from error
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        Redirected(),
    ):
        opener.add_handler(handler)
    return opener

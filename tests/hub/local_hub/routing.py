"""From a request to the function that answers it: the form of its path, who sends it, and what they may do."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub.local_hub.answers import Answer, HubError
from tests.hub.local_hub.exchange import Exchange
from tests.hub.local_hub.stored import Repository

if TYPE_CHECKING:
    from tests.hub.local_hub.hub import LocalHub

Route = Callable[..., Answer]
ROUTES: list[tuple[list[str], re.Pattern[str], Route]] = []

WEB = r"/(?P<name>[^/]+/[^/]+)"
API = f"/api/models{WEB}"
REVISION = r"/(?P<revision>[^/]+)"
STORAGE = r"/storage/(?P<sha256>\w{64})"


def route(methods: str, pattern: str) -> Callable[[Route], Route]:
    """The function answers requests to paths of this form, whose named parts are its arguments."""

    def register(function: Route) -> Route:
        ROUTES.append((methods.split(), re.compile(pattern), function))
        return function

    return register


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who holds a token; its role is "read" or "write"."""

    name: str
    organisations: tuple[str, ...]
    role: str

    def owns(self, repository: str) -> bool:
        """Whether it is theirs, or an organisation's of theirs."""
        return repository.split("/")[0] in (self.name, *self.organisations)


@dataclass(slots=True, kw_only=True)
class Request:
    """What the routes see of a request.

    Attributes:
        query: Values by name.
        body: Empty where `save` is to be used, of PUT.
        save: Write the body to a file; its sha256.
        user: None where there is no token, and at the storage, whose addresses are signed.
    """

    query: dict[str, list[str]]
    body: bytes
    save: Callable[[Path], str]
    user: User | None

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    def flag(self, name: str) -> bool:
        """Whether the query says yes."""
        return self.query.get(name, [""])[0].lower() in ("1", "true")

    def known_user(self) -> User:
        """Who sends it.

        Raises:
            HubError: 401, nobody is logged in.
        """
        if self.user is None:
            raise HubError(401, "Invalid username or password.")
        return self.user


def answer(hub: "LocalHub", exchange: Exchange) -> Answer:
    """What the route for a request says, or its refusal; 404 where there is no such route."""
    split = urlsplit(exchange.path)
    for methods, pattern, function in ROUTES:
        found = pattern.fullmatch(split.path)
        if found and exchange.command in methods:
            parts = {name: unquote(value) for name, value in found.groupdict().items() if value is not None}
            try:
                return _called(hub, function, exchange, parts)
            except HubError as refusal:
                return refusal.answer
    if exchange.command not in ("GET", "HEAD"):
        hub.errors.append(f"the local Hub does not know {exchange.command} {exchange.path}")
    return HubError(404, "Sorry, we can't find the page you are looking for.").answer


def _called(hub: "LocalHub", function: Route, exchange: Exchange, parts: dict[str, str]) -> Answer:
    split = urlsplit(exchange.path)
    in_storage = split.path.startswith("/storage/")
    body = b"" if exchange.command == "PUT" else exchange.read_body()
    request = Request(
        query=parse_qs(split.query, keep_blank_values=True),
        body=body,
        save=exchange.save_body,
        user=None if in_storage else _user(hub, exchange.headers),
    )
    if in_storage:  # long transfers must not block the others
        return function(hub, request, **parts)
    with hub.lock:
        return function(hub, request, **parts)


def _user(hub: "LocalHub", headers: Message) -> User | None:
    token = headers.get("Authorization", "").removeprefix("Bearer ")
    if token and token not in hub.users:
        raise HubError(401, "Invalid credentials in Authorization header")
    return hub.users.get(token)


def opened(hub: "LocalHub", request: Request, name: str, write: bool = False) -> Repository:
    """A repository that the user may read, or write to; whoever may read may propose.

    Raises:
        HubError: 401 or 404 "not found", which are the same for the client; 403 where it may only be read.
    """
    user, found = request.user, hub.repositories.get(("model", name))
    hidden = found is None or (found.private and not (user and user.owns(name)))
    if user is None and (hidden or write):
        # Of an https Hub the client takes every such 401 for a missing repository; of http it asks for the code.
        raise HubError(401, "Invalid username or password.", "RepoNotFound")
    if found is None or hidden:
        raise HubError(404, "Repository not found", "RepoNotFound")
    if user and write and (user.role != "write" or not user.owns(name)):
        raise HubError(403, "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request")
    return found

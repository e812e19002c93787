"""Before there is a repository: who the user is, a new repository, and whether its card will do."""

import re

import yaml

from tests.hub.local_hub.answers import Answer, HubError, as_json
from tests.hub.local_hub.hub import LocalHub
from tests.hub.local_hub.routing import Request, route


@route("GET", "/api/whoami-v2")
def whoami(hub: LocalHub, request: Request) -> Answer:
    """The user's name."""
    return as_json({"type": "user", "name": request.known_user().name})


@route("POST", "/api/repos/create")
def create_repository(hub: LocalHub, request: Request) -> Answer:
    """A repository with the Hub's first commit; 409 with its address if it is there."""
    user, wanted = request.known_user(), request.json()
    if wanted.get("type", "model") != "model":
        raise NotImplementedError(f"the local Hub has models, and no {wanted['type']}")
    owner = wanted["organization"] or user.name
    name = f"{owner}/{wanted['name']}"
    url = f"{hub.endpoint}/{name}"
    if not user.owns(name) or user.role != "write":
        raise HubError(403, f'You don\'t have the rights to create a model under the namespace "{owner}"')
    if ("model", name) in hub.repositories:
        raise HubError(409, "You already created this model repo", url=url)
    hub.create(name, author=user.name, private=wanted.get("visibility") == "private")
    return as_json({"url": url, "name": name})


@route("POST", "/api/validate-yaml")
def validate_card(hub: LocalHub, request: Request) -> Answer:
    """400 with what is wrong with a card."""
    errors = [{"message": text} for text in card_errors(request.json()["content"])]
    return as_json({"errors": errors, "warnings": []}, 400 if errors else 200)


def card_errors(card: str) -> list[str]:
    """What the model-index of the front matter lacks; a card without any is no error."""
    front = re.match(r"---\s*\n(.*?)\n---\s*(?:\n|\Z)", card, re.DOTALL)
    missing = []
    for i, model in enumerate(yaml.safe_load(front[1]).get("model-index", []) if front else []):
        missing += [f"model-index[{i}].{key}" for key in ("name", "results") if not model.get(key)]
        for j, result in enumerate(model.get("results") or []):
            place = f"model-index[{i}].results[{j}]"
            needed = (("task", "type"), ("dataset", "type"), ("dataset", "name"))
            missing += [f"{place}.{group}.{key}" for group, key in needed if not (result.get(group) or {}).get(key)]
            for metric in result.get("metrics") or [{}]:
                missing += [f"{place}.metrics[].{key}" for key in ("type", "value") if key not in metric]
    return [f'"{path}" is required' for path in missing]

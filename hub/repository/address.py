"""The name of a set of weights on the Hub: one repository for each, `ORG/NET.TAG`, and the git tag of its version."""

import re
from dataclasses import dataclass

_WORDS = r"[A-Za-z0-9][\w-]*(?:\.[\w-]+)*"
# Excludes what git refuses as a tag, names of branches, and what looks like a commit.
_VERSION = rf"(?!main$|HEAD$|[0-9a-f]{{40}}$)(?!.*\.lock$){_WORDS}"
_FORM = re.compile(
    rf"(?P<owner>{_WORDS})/(?P<net>\w+)\.(?!git(?:@|$))(?P<tag>\w+)(?:@(?P<version>{_VERSION}))?", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a net is published.

    Attributes:
        owner: A user or an organisation.
        net: Name in timm's registry: "vgg_d".
        tag: Tag of the weights in timm: "s256_512_in1k".
        version: The git tag of the commit, which never moves; the card's snippets name it.
    """

    owner: str
    net: str
    tag: str
    version: str

    @property
    def name(self) -> str:
        """timm's name of these weights."""
        return f"{self.net}.{self.tag}"

    @property
    def repository(self) -> str:
        """Id of the repository."""
        return f"{self.owner}/{self.name}"

    def __str__(self) -> str:
        return f"{self.repository}@{self.version}"


def parse_address(text: str) -> Address:
    """Read `ORG/NET.TAG` or `ORG/NET.TAG@VERSION`; the default version is v1.

    Raises:
        ValueError: The text has another form.
    """
    found = _FORM.fullmatch(text)
    if not found:
        raise ValueError(
            f"a repository is ORG/NET.TAG or ORG/NET.TAG@VERSION, for example me/vgg_d.s256_in1k@v1, and a version a "
            f"git tag that is no branch; got {text!r}"
        )
    parts = found.groupdict()
    return Address(**{**parts, "version": parts["version"] or "v1"})

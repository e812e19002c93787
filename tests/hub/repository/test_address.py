"""Names of repositories."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.repository.address import Address, parse_address

WORD = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_]*", fullmatch=True).filter(lambda word: word != "git")
VERSION = st.from_regex(r"v[A-Za-z0-9_\-]*(\.[0-9]+)*", fullmatch=True)


@given(WORD, WORD, WORD, VERSION)
def test_an_address_is_read_as_it_is_written(owner: str, net: str, tag: str, version: str) -> None:
    """Whatever its parts are."""
    address = Address(owner=owner, net=net, tag=tag, version=version)
    assert parse_address(str(address)) == address
    assert address.repository == f"{owner}/{net}.{tag}"


def test_the_version_is_v1_where_none_is_given() -> None:
    """timm's own notation without a revision."""
    assert str(parse_address("me/vgg_d.s256_in1k")) == "me/vgg_d.s256_in1k@v1"


@pytest.mark.parametrize(
    "text",
    [
        *("", "vgg_d.s256", "me/vgg_d", "me/vgg_d.", "me/../x.y", "me/vgg_d.a b", "a/b/c.d", "me/vgg_d.git", "mé/a.b"),
        *(f"me/vgg_d.x@{version}" for version in ("main", "HEAD", "0" * 40, "..", "v1.lock", "-d", ".v1", "v1.", "é")),
    ],
)
def test_what_is_no_address_is_told(text: str) -> None:
    """The form stands in the message."""
    with pytest.raises(ValueError, match=r"ORG/NET\.TAG"):
        parse_address(text)

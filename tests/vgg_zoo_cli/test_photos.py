"""From words to photos."""

from pathlib import Path

import pytest

from tests.vgg_zoo_cli.conftest import GOOD
from vgg_zoo_cli.photos import check_photos, count_photos, each_photo, ignored_files


def test_folders_globs_files_and_addresses_in_order(photos: Path) -> None:
    """Those of a folder by name, then those of its sub-folders; no hidden files and no other kinds."""
    words = ["photos", "photos/*.png", "photos/notes.txt", "https://example.org/a/b.jpg?size=9"]
    check_photos(words)
    found = list(each_photo(words))
    folder = ["photos/china.jpg", "photos/damaged.jpg", "photos/flower.png", "photos/more/small.png"]
    assert [photo for photo, _ in found] == [*folder, "photos/flower.png", "photos/notes.txt", words[3]]
    assert [str(place) for _, place in found][3:] == ["more/small.png", "flower.png", "notes.txt", "b.jpg"]
    assert count_photos(words) == len(found)
    assert ignored_files(words) == 1


def test_a_glob_goes_below_and_a_files_name_is_no_glob(photos: Path) -> None:
    """`**` as the shells have it; a file that is there is meant whatever its name has."""
    assert [photo for photo, _ in each_photo(["photos/**/*.png"])] == GOOD[1:]
    odd = photos / "a[1].png"
    (photos / "flower.png").rename(odd)
    assert [photo for photo, _ in each_photo([str(odd)])] == [str(odd)]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("nowhere.jpg", "there is no file or folder nowhere.jpg"),
        ("photos/*.gif", "no file matches photos/"),
        ("empty", "there is no photo in the folder empty"),
        ("file:///etc/passwd", "only by http and https; got file"),
        ("ftp://example.org/a.jpg", "only by http and https; got ftp"),
        ("http:///a.jpg", "no host"),
        ("http://me:secret@example.org/a.jpg", "a user"),
        ("http://[1/a.jpg", "is not an address"),
    ],
)
def test_what_gives_no_photo_is_refused(word: str, said: str, photos: Path) -> None:
    """By its name; nothing is fetched."""
    Path("empty").mkdir()
    with pytest.raises(ValueError, match=said.replace("*", ".")):
        check_photos([word])

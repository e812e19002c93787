"""The picture of the tables: every result has its line, and the legend names what is there."""

from functools import partial
from pathlib import Path
from typing import Any

from recipes.evaluation import plots
from recipes.evaluation.class_tables import ClassResult, block
from recipes.evaluation.tables import draw, read
from tests.pictures import Drawn, drawn
from tests.recipes.evaluation.test_class_tables import as_ours, net, results_file
from vgg_zoo.paper import PAPER

LEGEND = ["ours, with 95% interval", "the paper's"]


def picture(*folders: Path) -> Drawn:
    """Of the results in folders of one data set."""
    found = [read(folder) for folder in folders]
    return drawn(partial(plots.draw, [block([result for result in found if isinstance(result, ClassResult)])]))


def test_all_of_the_papers_rows(tmp_path: Path) -> None:
    """Nets and protocols have their labels, also seven nets as one; nothing overlaps."""
    found = picture(*(as_ours(tmp_path / str(place), row) for place, row in enumerate(PAPER)))
    found.check()
    assert found.words.count("multi-crop & dense") == 3
    assert found.words.count("E E") == 8
    assert [word for word in found.words if word in LEGEND] == LEGEND
    assert {"one test scale", "several test scales", "protocols", "several nets"} <= set(found.words)
    assert "imagenet, validation: errors on 50,000 images" in found.words


def test_one_net_alone(tmp_path: Path) -> None:
    """A line, without a table's worth of empty ground, and without the paper's where the images are others."""
    about: dict[str, Any] = {"spec": "runs/my_photos", "images": 40, "classes": 5}
    found = picture(results_file(tmp_path / "a", [net("D", [256], [256], flip=False)], 0.25, 0.0, **about))
    found.check()
    assert found.picture.height < 300
    assert {"D D", "256", "dense (no flips)", "25.0", "0.0"} <= set(found.words)
    assert [word for word in found.words if word in LEGEND] == LEGEND[:1]
    assert "runs/my_photos, validation: errors on 40 images" in found.words


def test_the_paper_is_shown_beside_its_own_images_only(tmp_path: Path) -> None:
    """And of its own nets: neither of F nor of others' images."""
    row = as_ours(tmp_path / "a", PAPER[0])
    assert LEGEND[1] in picture(row).words
    assert LEGEND[1] not in picture(results_file(tmp_path / "b", [net("F", None, [256])], 0.3, 0.1)).words


def test_data_sets_stand_apart(tmp_path: Path) -> None:
    """Each with axes of its own; long names are cut."""
    folders = [
        results_file(tmp_path / "a", [net("A", [256], [256])], 0.3, 0.1),
        results_file(tmp_path / "b", [net("A", [256], [256], model="runs/" + "long" * 30)], 0.01, 0.0, spec="digits"),
    ]
    blocks = [block([result]) for result in map(read, folders) if isinstance(result, ClassResult)]
    found = drawn(partial(plots.draw, blocks))
    found.check()
    assert len(found.figure.axes) == 4
    assert any(word.endswith("…") for word in found.words)


def test_without_errors_of_classes_there_is_no_picture(tmp_path: Path) -> None:
    """Nor an old one."""
    (tmp_path / "tables.png").touch()
    draw([], tmp_path / "tables.png")
    assert not (tmp_path / "tables.png").exists()

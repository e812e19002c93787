"""Everything that differs between repositories of classifiers and of nets that predict boxes.

A row is one result in `eval_results.json`. Rows of every kind have "protocol", "scales", "train_scales", "images",
"data_set", "split", "classes", "configuration", "weights_sha256", versions and command, and errors by name, each from
0 to 1.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from vgg_zoo.images.decoding import Pixels
from vgg_zoo.model import VGG

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of the card's model-index: its type and name, and its value in percent."""

    kind: str
    name: str
    percent: float


class Kind(ABC):
    """A kind of net: its results, the settings that follow from them, and what the card says.

    Attributes:
        predicts: What such nets predict, as in `VGG.predicts`; the `kind` of a test's results.json.
        protocols: Protocols of its rows in the order of publication, and their names in words.
        tested_by: The recipe that tests such nets, with its options; the net's folder follows.
        settings_file: The repository's file with the settings of this package's evaluation.
        answer: The result of this evaluation, in words.
        task: The Hub's pipeline tag.
        usage: The template of the card's first snippets.
        columns: Heads of the card's table after the protocol, the data set and the images.
        limits: Limits of the figures, for the card.
    """

    predicts: ClassVar[str]
    protocols: ClassVar[Mapping[str, str]]
    tested_by: ClassVar[str]
    settings_file: ClassVar[str]
    answer: ClassVar[str]
    task: ClassVar[str]
    usage: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    limits: ClassVar[tuple[str, ...]]

    @abstractmethod
    def training_rows(self, content: Mapping[str, Any]) -> Iterable[Row]:
        """The tests that end a training, from its results.json.

        Raises:
            KeyError, TypeError, IndexError, AttributeError, ValueError: It has another form; the same holds for
                `tested_rows`.
        """

    @abstractmethod
    def tested_rows(self, content: Mapping[str, Any]) -> Iterable[Row]:
        """The rows of a results.json of `tested_by`."""

    @abstractmethod
    def about(self, net: VGG) -> Row:
        """The fields of a row that describe the net, whose weights may be missing."""

    @abstractmethod
    def told_apart(self, row: Row) -> tuple[Any, ...]:
        """The key by which rows of a net are distinguished: the protocol and its settings."""

    @abstractmethod
    def named(self, row: Row) -> str:
        """The protocol and its settings in the paper's words."""

    @abstractmethod
    def rates(self, row: Row) -> dict[str, float]:
        """The row's errors by name; each must be from 0 to 1."""

    @abstractmethod
    def check(self, row: Row) -> None:
        """Check that the row's figures are possible.

        Raises:
            ValueError: A figure is impossible (`hub.results.figures.check_figures`).
        """

    @abstractmethod
    def settings(self, rows: Sequence[Row]) -> dict[str, Any]:
        """The content of the settings file: the settings of the dense test with the most scales.

        Raises:
            ValueError: They do not follow from the rows.
        """

    @staticmethod
    @abstractmethod
    def read_settings(file: Path) -> dict[str, Any]:
        """The settings from the file.

        Raises:
            ValueError: The file is not valid.
        """

    @abstractmethod
    def answers(self, net: VGG, settings: Mapping[str, Any], photos: Sequence[Pixels]) -> Tensor:
        """The net's answers for photos with these settings, one row for each photo or for each of its boxes."""

    @abstractmethod
    def measures(self, row: Row) -> Iterable[Measure]:
        """The row's figures for the model-index."""

    @abstractmethod
    def cells(self, row: Row, full: bool) -> tuple[str, ...]:
        """The row's cells under `columns`; with the paper's figure if `full`: the paper's widths and images."""

    def last_layer(self, net: VGG) -> str:
        """The outputs of the last layer in words, if they are not class scores."""
        return ""

    def for_usage(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Values from the results for the usage template."""
        return {}

"""What differs between repositories of nets that classify and of nets that predict boxes, and nothing else does.

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
        predicts: What such nets predict, as `VGG.predicts` says it; the `kind` of a test's results.json.
        protocols: Of its rows, in the order that they are published in, and in words.
        tested_by: The recipe that tests such nets, with its options, after which the net's folder stands.
        settings_file: Of the repository; what the evaluation that this package brings is made with.
        answer: What that evaluation gives, in words.
        task: The Hub's pipeline tag.
        usage: The template of the card's first snippets.
        columns: Heads of the card's table after the protocol, the data set and the images.
        limits: Of the figures, for the card.
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
            KeyError, TypeError, IndexError, AttributeError, ValueError: It is something else; so for `tested_rows`.
        """

    @abstractmethod
    def tested_rows(self, content: Mapping[str, Any]) -> Iterable[Row]:
        """The rows of a results.json of `tested_by`."""

    @abstractmethod
    def about(self, net: VGG) -> Row:
        """What every row says of the net, whose weights may be missing."""

    @abstractmethod
    def told_apart(self, row: Row) -> tuple[Any, ...]:
        """What two rows of a net must differ in: the protocol and its settings."""

    @abstractmethod
    def named(self, row: Row) -> str:
        """The protocol and its settings in the paper's words."""

    @abstractmethod
    def rates(self, row: Row) -> dict[str, float]:
        """The row's errors by name; each must be from 0 to 1."""

    @abstractmethod
    def check(self, row: Row) -> None:
        """The row's figures can be right.

        Raises:
            ValueError: One cannot (`hub.results.figures.check_figures`).
        """

    @abstractmethod
    def settings(self, rows: Sequence[Row]) -> dict[str, Any]:
        """The content of the settings file: those of the widest dense test.

        Raises:
            ValueError: They do not follow from the rows.
        """

    @staticmethod
    @abstractmethod
    def read_settings(file: Path) -> dict[str, Any]:
        """The same from the file.

        Raises:
            ValueError: It is not what it must be.
        """

    @abstractmethod
    def answers(self, net: VGG, settings: Mapping[str, Any], photos: Sequence[Pixels]) -> Tensor:
        """What the net says of photos with these settings, one row for each photo or for each of its boxes."""

    @abstractmethod
    def measures(self, row: Row) -> Iterable[Measure]:
        """The row's figures for the model-index."""

    @abstractmethod
    def cells(self, row: Row, full: bool) -> tuple[str, ...]:
        """The row under `columns`; the paper's figure beside it if `full`: of the paper's widths and images."""

    def last_layer(self, net: VGG) -> str:
        """What the last layer gives, in words, where it is no class scores."""
        return ""

    def for_usage(self, rows: Sequence[Row]) -> dict[str, Any]:
        """What the usage template needs to know of the results."""
        return {}

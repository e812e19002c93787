"""The notebooks of docs/notebooks run from the first cell to the last, without a network."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "docs/notebooks").glob("*.ipynb"))


def said(notebook: nbformat.NotebookNode) -> str:
    """What its cells printed or showed as text."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


def test_the_notebooks_are_kept_without_outputs() -> None:
    """There are three, and what they show is made where they are run."""
    assert [path.stem for path in NOTEBOOKS] == ["predict_and_explain", "svm_on_features", "train_and_publish"]
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert all(cell.get("outputs", []) == [] and cell.get("execution_count") is None for cell in notebook.cells)
        assert path.stat().st_size < 10_000


EXPECTED = {
    "predict_and_explain": ["DenseEvaluator(vgg_a", "torch.Size([16, 2]), 16", "(128, 4, 5)", "PIL.Image.Image"],
    "svm_on_features": ["right: ", "'linearsvc__C'", "pool3_0"],
    "train_and_publish": ["settings from results.json", "'model.safetensors'", "'README.md'"],
}
"""Parts of what each of them shows."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of Jupyter's own
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a kernel of this Python, in its own folder."""
    root = path.parents[2]
    monkeypatch.setenv("PYTHONPATH", str(root))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(path.parent)}}).execute()
    shown = said(notebook)
    for part in EXPECTED[path.stem]:
        assert part in shown, shown

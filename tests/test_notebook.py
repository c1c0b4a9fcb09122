"""The notebook of examples/, executed as a reader would."""

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "examples" / "frieze.ipynb"


@pytest.fixture
def notebook():
    """The notebook as it is stored."""
    nbformat = pytest.importorskip("nbformat")
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_is_stored_without_outputs(notebook):
    """The stored notebook has no outputs, which would go out of date."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs or cell.execution_count for cell in cells] == [None] * len(cells)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_it_runs(notebook, tmp_path):
    """Every cell runs, twice in a row; the table and the hits show pictures, and the file for Excel has predictions."""
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    for _ in range(2):
        resources = {"metadata": {"path": str(tmp_path)}}
        nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    pages = [
        output.data["text/html"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    ]
    table, hits, frame = pages
    assert table.count("<img") == 8
    assert hits.count("<img") == 12
    assert "prediction" in frame

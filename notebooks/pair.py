"""Makes each .ipynb here from the .py of its name: `python notebooks/pair.py`.

The .py is the source, in jupytext's percent form, so that diffs read; Colab opens the
.ipynb. Outputs aren't kept. Tests check that the two agree.
"""

import json
from pathlib import Path
from typing import Any

try:
    import jupytext
except ImportError:
    raise SystemExit("jupytext is missing: pip install -e '.[notebooks]'") from None


def notebook(source: Path) -> dict[str, Any]:
    """As Jupyter stores it, without outputs and without the random names of cells."""
    made = jupytext.read(source)
    cells = []
    for cell in made.cells:
        kept = {
            "cell_type": cell.cell_type,
            "metadata": {},
            "source": cell.source.splitlines(keepends=True),
        }
        if cell.cell_type == "code":
            kept |= {"execution_count": None, "outputs": []}
        cells.append(kept)
    kernel = made.metadata["kernelspec"]
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}


def sources() -> list[Path]:
    """The sources of the notebooks, in their order."""
    return sorted(Path(__file__).parent.glob("[0-9]*.py"))


if __name__ == "__main__":
    for path in sources():
        text = json.dumps(notebook(path), indent=1, ensure_ascii=False) + "\n"
        path.with_suffix(".ipynb").write_text(text, encoding="utf-8")

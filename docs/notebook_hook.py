"""Hook of MkDocs: show each notebook of the documentation as a page.

Outputs are not shown, because notebooks are committed without outputs.
"""

import json

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page `NAME.md` for each notebook `NAME.ipynb`."""
    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            page = f"{file.src_uri.removesuffix('.ipynb')}.md"
            text = f"{_markdown(file.content_string)}\n\n[Download this notebook]({file.src_uri})\n"
            files.append(File.generated(config, page, content=text))
    return files


def _markdown(notebook: str) -> str:
    cells = json.loads(notebook)["cells"]
    sources = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    return "\n\n".join(
        f"```python\n{source}\n```" if kind == "code" else source for kind, source in sources
    )

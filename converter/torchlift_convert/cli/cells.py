"""A notebook that is to be run: its cells stand beside it as a script for as long as it runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torchlift_convert import files
from torchlift_convert.files import FileProblem


@contextmanager
def as_script(name: str) -> Iterator[str]:
    """The name of a script that does what the file does: its own, but for a notebook.

    Raises:
        FileProblem: the notebook cannot be read, or its folder takes no script.
    """
    path = Path(name)
    if not files.is_notebook(name) or not path.is_file():
        yield name
        return
    from torchlift_convert.notebooks.document import NotNotebook, read
    from torchlift_convert.notebooks.running import script_of

    source = files.read_source(name)
    try:
        script = script_of(read(source.text.removeprefix("\ufeff")))
    except NotNotebook as problem:
        raise FileProblem(name, str(problem), remedy=problem.remedy) from None
    print(
        f"{path.name} runs as a script, its cells from the first to the last; magics and shell commands are skipped.",
        file=sys.stderr,
        flush=True,
    )
    with files.passing_neighbour(path.with_suffix(".py"), script.encode()) as made:
        yield str(made)

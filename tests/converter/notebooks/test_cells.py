"""Which lines of a cell are magics, as IPython would say."""

from __future__ import annotations

import pytest

from torchlift_convert.notebooks.cells import parts_of
from torchlift_convert.notebooks.magics import Kind


def magics(source: str) -> list[tuple[str, str]]:
    return [(str(p.magic.kind), p.magic.text) for p in parts_of(source) if p.magic is not None]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("%matplotlib inline\nx = 1", [("harmless", "%matplotlib inline")]),
        ("!pip install torch", [("unknown", "!pip install torch")]),
        ("!pip install \\\n  torch\nx = 1", [("unknown", "!pip install \\\n  torch")]),
        ("!echo 'it's\nx = 1", [("unknown", "!echo 'it's")]),
        ("files = !ls", [("unknown", "files = !ls")]),
        ("a, b = %sc ls", [("unknown", "a, b = %sc ls")]),
        ("model?", [("harmless", "model?")]),
        ("?torch.nn", [("harmless", "?torch.nn")]),
        ("torch.nn.Linear??", [("harmless", "torch.nn.Linear??")]),
        ("%time train()", [("timed", "%time train()")]),
        ("for i in range(2):\n    %time train()", [("unknown", "%time train()")]),
        ("%timeit f(x)", [("unknown", "%timeit f(x)")]),
        ("%run other.py", [("binding", "%run other.py")]),
        ("%store -r x", [("binding", "%store -r x")]),
        ("%%sql\nselect 1", [("binding", "%%sql\nselect 1")]),
        ("%%bash --out said\nls", [("binding", "%%bash --out said\nls")]),
        ("pip install torch", [("unknown", "pip install torch")]),
        ("if x:\n    !ls", [("unknown", "!ls")]),
        ("%%time\nx = 1", [("harmless", "%%time")]),
        ("\n%%time\n%matplotlib inline\nx = 1", [("harmless", "%%time"), ("harmless", "%matplotlib inline")]),
        ("%%capture out\nx = 1", [("unknown", "%%capture out")]),
        ("%%bash\nls\nx = 1", [("unknown", "%%bash\nls\nx = 1")]),
        ("%%html\n<b>", [("harmless", "%%html\n<b>")]),
        ("%%timeit\nf()", [("unknown", "%%timeit\nf()")]),
        ("from __future__ import print_function\nx = 1", [("harmless", "from __future__ import print_function")]),
    ],
)
def test_magics(source: str, found: list[tuple[str, str]]) -> None:
    assert magics(source) == found


@pytest.mark.parametrize(
    "source",
    [
        'print("%d"\n      % x)',
        'text = """\n!ls\n%time\n"""',
        "x = (1\n!= y)",
        "pip = 1\npip",
        "a = 7\\\n  % 3",
        "time = 3\ntime",
        "# %time f()",
        "",
    ],
)
def test_python_is_left_alone(source: str) -> None:
    assert magics(source) == []


@pytest.mark.parametrize("tail", ["\n!ls", "\n%who"])
def test_continued_lines_stay_python_beside_magics(tail: str) -> None:
    found = magics('print("%d"\n      % x)\ns = """\n!not\n"""\nt = \'\\\'#\'  # "' + tail)
    assert [text for _, text in found] == [tail.strip()]


def test_parts_put_together_are_the_cell() -> None:
    source = "\n\n%%time\nx = 1\n!ls \\\n -l\n\ny = 2\n"
    assert "\n".join(line for part in parts_of(source) for line in part.lines) == source


def test_a_cell_that_is_indented_as_a_whole_is_read_as_if_it_were_not() -> None:
    (part,) = parts_of("  x = 1\n  y = 2")
    assert part.lines == ("x = 1", "y = 2")


def test_the_name_that_capture_binds() -> None:
    (head, _) = parts_of("%%capture --no-stderr out\nx = 1")
    assert head.magic is not None
    assert (head.magic.kind, head.magic.targets) == (Kind.UNKNOWN, "out")

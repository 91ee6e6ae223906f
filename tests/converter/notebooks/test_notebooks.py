"""Notebooks through the converter: what changes, what does not, and that both train alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.converter.notebooks.books import DATA, HEAD, LOOP, MODEL, READ, book, cells, lifted, refused, same, sources

from torchlift_convert.api import convert
from torchlift_convert.notebooks.api import through_cells
from torchlift_convert.types import FateKind, Optimization, Options, Status


def test_classes_stand_where_the_model_was_made_and_the_trainer_where_the_loop_was(tmp_path: Path) -> None:
    found = same(book(HEAD, DATA, MODEL, LOOP, READ), tmp_path)
    assert [text.splitlines()[0] for text in found] == [
        "import torch",
        "class DataModule(L.LightningDataModule):",
        "class LitModel(L.LightningModule):",
        found[3].splitlines()[0],
        READ,
    ]
    assert "import torchlift as L" in found[0]
    assert found[3].startswith("trainer = L.Trainer(max_epochs=2")
    assert "for epoch" not in "".join(found)


def test_everything_but_changed_sources_and_outputs_is_what_it_was() -> None:
    text = book(
        "# Title\n", "%matplotlib inline\n" + HEAD, "# Data", DATA, "", MODEL, "\n\n  \n", LOOP, READ, "x =  [1,\n 2]"
    )
    made = lifted(text).code
    assert made is not None
    before, after = json.loads(text), json.loads(made)
    assert {k: v for k, v in before.items() if k != "cells"} == {k: v for k, v in after.items() if k != "cells"}
    assert len(before["cells"]) == len(after["cells"])
    changed = [n for n, (a, b) in enumerate(zip(cells(text), cells(made), strict=True)) if a["source"] != b["source"]]
    assert changed == [1, 3, 5, 7]
    for one, other in zip(cells(text), cells(made), strict=True):
        kept = ("cell_type", "id", "metadata")
        assert [one[k] for k in kept] == [other[k] for k in kept]
        assert list(one) == list(other)


@pytest.mark.parametrize("indent", [None, 1, 2, "\t"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_the_file_keeps_its_form(indent: int | str | None, ascii_only: bool) -> None:
    data = json.loads(book(HEAD, DATA, MODEL, LOOP, "print('é')"))
    for cell in data["cells"]:
        cell |= {"execution_count": None, "outputs": []}
    text = json.dumps(data, indent=indent, ensure_ascii=ascii_only) + "\n"
    made = lifted(text).code
    assert made is not None
    assert made == json.dumps(json.loads(made), indent=indent, ensure_ascii=ascii_only) + "\n"
    lines = [line for line in text.split("\n") if "cell_type" in line or "é" in line or "u00e9" in line]
    assert set(lines) <= set(made.split("\n")) or indent is None


def test_a_source_that_is_one_string_stays_one() -> None:
    data = json.loads(book(HEAD, DATA, MODEL, LOOP))
    data["cells"][3]["source"] = LOOP
    made = cells(lifted(json.dumps(data)).code or "")
    assert isinstance(made[3]["source"], str)
    assert isinstance(made[2]["source"], list)


def test_a_cell_that_is_emptied_goes_and_one_with_comments_keeps_them() -> None:
    loss = "criterion = nn.MSELoss()"
    found = sources(
        lifted(book(HEAD, DATA, MODEL, loss, LOOP.replace("nn.functional.mse_loss", "criterion"))).code or ""
    )
    assert len(found) == 4
    assert "nn.MSELoss()" in found[2]


def test_magics_stay_where_they_were(tmp_path: Path) -> None:
    text = book(
        "!pip install torch\n%load_ext autoreload\n%autoreload 2",
        "%matplotlib inline\n" + HEAD,
        "files = !ls\n" + DATA,
        "model?",
        MODEL,
        "%%bash\necho 'hi'\nfor f in *; do echo $f; done",
        "%%time\n" + LOOP,
        "%time " + READ,
        "%timeit -n 1 model(torch.ones(2, 4))\n?X",
    )
    found = same(text, tmp_path)
    assert found[0] == sources(text)[0]
    assert found[1].startswith("%matplotlib inline\nimport torch\n")
    assert found[2].splitlines()[0] == "files = !ls"
    assert found[3] == "model?"
    assert found[5:] == ["%%bash\necho 'hi'\nfor f in *; do echo $f; done", found[6], "%time " + READ, sources(text)[8]]
    assert found[6].startswith("%%time\n")
    assert "trainer.fit" in found[6]


def test_a_magic_in_the_loop_goes_where_its_moment_goes(tmp_path: Path) -> None:
    found = same(book(HEAD, DATA, MODEL, LOOP + "\n    !date"), tmp_path)
    assert "        !date\n" in "".join(found) + "\n"
    assert "torchlift_magic" not in "".join(found)


def test_a_magic_that_reads_what_has_another_name_now_is_refused() -> None:
    (told,) = refused(book(HEAD, DATA, MODEL, LOOP.replace("    print", "    %timeit model(x)\n    print"))).refusals
    assert (told.code, str(told.span)) == ("TL120", "cell 4, line 7")
    assert "%timeit model(x)" in told.message


def test_a_shell_command_reads_only_what_it_names() -> None:
    found = sources(lifted(book(HEAD, DATA, MODEL, LOOP + "\n    !echo loader model")).code or "")
    assert "!echo loader model" in "".join(found)
    text = book(HEAD, DATA, MODEL, LOOP.replace("    print", "    !echo {loss}\n    print"))
    assert refused(text).refusals[0].code == "TL120"


def test_a_magic_that_may_bind_names_hides_what_they_hold() -> None:
    plain = lifted(book("%run common.py", HEAD, DATA, MODEL, LOOP))
    assert plain.optimization is Optimization.AUTOMATIC
    result = through_cells(book(HEAD, DATA, MODEL, "%run other.py", LOOP), Options(), convert)
    assert result.optimization is not Optimization.AUTOMATIC
    assert result.datamodule is None


def test_names_that_a_magic_makes_for_itself_are_not_read() -> None:
    text = book(HEAD, DATA, MODEL, "%timeit -n 1 [x for x in range(3)]", "%%writefile util.py\nx = loss\n", LOOP)
    assert lifted(text).optimization is Optimization.AUTOMATIC


def test_files_are_read_before_a_command_that_may_write_them() -> None:
    saved = "import numpy as np\nY = torch.tensor(np.load('y.npy'))"
    found = sources(
        lifted(book(HEAD, saved, "!python make.py", DATA.replace("X.sum(1, keepdim=True)", "Y"), MODEL, LOOP)).code
        or ""
    )
    text = "\n".join(found)
    assert text.index("np.load") < text.index("!python make.py")


@pytest.mark.parametrize("said", ["print(Out[4])", "print(_)", "print(_4)", "print(In[1])"])
def test_the_history_of_cells_is_refused(said: str) -> None:
    (told,) = refused(book(HEAD, DATA, MODEL, LOOP, said)).refusals
    assert (told.code, str(told.span)) == ("TL120", "cell 5, line 1")


def test_names_that_only_look_like_history_are_names(tmp_path: Path) -> None:
    same(book(HEAD, DATA, MODEL, LOOP, "for _ in range(2):\n    print(_)", "Out = {4: 1}\nOut[4]"), tmp_path)


def test_values_at_the_end_of_cells_are_shown_as_they_were(tmp_path: Path) -> None:
    found = same(book(HEAD, DATA + "\nX.shape", MODEL + "\nmodel", LOOP, "model[0].weight.sum().item()"), tmp_path)
    assert found[1].endswith("shape")
    assert found[2].endswith("\nmodel")
    assert found[4] == "model[0].weight.sum().item()"


def test_what_the_conversion_adds_at_the_end_of_a_cell_shows_nothing(tmp_path: Path) -> None:
    evaluation = """model.eval()
with torch.no_grad():
    print(sum(model(x).sum().item() for x, _ in loader))"""
    for text in same(book(HEAD, DATA, MODEL, evaluation, LOOP), tmp_path):
        assert not text.splitlines()[-1].startswith("trainer.validate") or text.endswith(";")


def test_display_is_known_to_be_there(tmp_path: Path) -> None:
    same(book(HEAD, DATA, MODEL, "display(model)", LOOP, "display(X.sum())"), tmp_path)


def test_an_await_at_the_top_of_a_cell_stays() -> None:
    later = "import asyncio\nawait asyncio.sleep(0)"
    assert later in sources(lifted(book(HEAD, DATA, MODEL, LOOP, later)).code or "")


def test_an_await_that_would_have_to_move_is_refused() -> None:
    text = book(HEAD + "\nimport asyncio", DATA, MODEL, LOOP + "\n    await asyncio.sleep(0)")
    (told,) = refused(text).refusals
    assert (told.code, str(told.span)) == ("TL105", "cell 4, line 8")


def test_from_future_may_stand_in_any_cell() -> None:
    future = "from __future__ import print_function"
    found = sources(lifted(book("%matplotlib inline", future + "\n" + HEAD, DATA, MODEL, LOOP)).code or "")
    assert found[1].startswith(future + "\nimport torch\n")


def test_a_function_that_trains_becomes_short_in_its_own_cell(tmp_path: Path) -> None:
    inside = "\n".join("    " + line for line in LOOP.splitlines())
    found = same(
        book(HEAD, DATA, MODEL, f"def train(model, loader):\n{inside}\n    return model", "train(model, loader)", READ),
        tmp_path,
    )
    assert "trainer.fit" in "".join(found)
    assert found[-2] == "train(model, loader)"


def test_places_are_cells_and_lines() -> None:
    skipping = LOOP.replace("    for x, y", "    if epoch == 1:\n        continue\n    for x, y")
    (told,) = refused(book("# Title", HEAD, DATA, MODEL, skipping)).refusals
    assert (told.code, str(told.span)) == ("TL105", "cell 5, line 3")


def test_the_ledger_counts_the_notebooks_statements_and_no_others() -> None:
    result = lifted(book("%matplotlib inline\n" + HEAD, DATA, MODEL, LOOP))
    assert len(result.fates) == 1 + 4 + 2 + 2 + 7
    assert {fate.source.cell for fate in result.fates} == {1, 2, 3, 4}
    moved = [fate for fate in result.fates if fate.kind is FateKind.MOVED]
    assert moved
    new = sources(result.code or "")
    for fate in moved:
        for target in fate.targets:
            assert new[target.cell - 1].splitlines()[target.first - 1].strip()


def test_automatic_stays_automatic_and_a_converted_notebook_is_lightning_already() -> None:
    result = lifted(book(HEAD, DATA, MODEL, LOOP))
    assert result.optimization is Optimization.AUTOMATIC
    assert through_cells(result.code or "", Options(), convert).status is Status.ALREADY


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "JSON"),
        ("[]", "no list of cells"),
        ('{"worksheets": []}', "format 3"),
        (book("x <- 1", language_info={"name": "R"}), "language is R"),
        (book("x = 1", kernelspec={"language": "julia"}), "language is julia"),
    ],
)
def test_what_is_no_python_notebook_gets_a_sentence(text: str, said: str) -> None:
    result = through_cells(text, Options(), convert)
    assert result.status is Status.UNREADABLE
    assert said in result.diagnostics[0].message


def test_a_cell_that_is_no_python_is_named() -> None:
    result = through_cells(book("# Title", "x = (1,", "2)  # backward"), Options(), convert)
    assert result.status is Status.UNREADABLE
    assert str(result.diagnostics[0].span) == "cell 2, line 1"
    result = through_cells(book("# Title", "x = 1", "\nprint 'backward'"), Options(), convert)
    assert str(result.diagnostics[0].span) == "cell 3, line 2"


@pytest.mark.parametrize("texts", [[], ["# Only words"], [""], ["x = 1"]])
def test_notebooks_without_training(texts: list[str]) -> None:
    assert through_cells(book(*texts), Options(), convert).status is Status.NO_LOOP


def test_cells_that_ran_in_another_order_are_told() -> None:
    data = json.loads(book(HEAD, DATA, MODEL, LOOP))
    told = lifted(json.dumps(data)).cells
    assert told is not None and told.order == "taken to run from the first to the last, each once"
    data["cells"][2]["execution_count"] = 1
    told = lifted(json.dumps(data)).cells
    assert told is not None and told.order.endswith("cell 3 had run before cell 2")

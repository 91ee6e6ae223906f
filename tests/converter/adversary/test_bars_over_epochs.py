"""A bar over the epochs: under a name of its own, in a ``with``, told what to show; and bars that do more than show."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.converter.adversary.harness import same
from tests.converter.adversary.prelude import script

from torchlift_convert.api import convert
from torchlift_convert.types import Options

IMPORT = "from tqdm import tqdm, trange\n"
EPOCH = """
    for x, t in train_loader:
        loss = F.cross_entropy(model(x), t)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""
SHOWS = {
    "a name": "bar = tqdm(range(2), desc='training')\nfor epoch in bar:"
    + EPOCH
    + "    bar.set_postfix(loss=loss.item())\n",
    "closed": "bar = trange(1, 3)\nfor epoch in bar:"
    + EPOCH
    + "    bar.set_description(f'{epoch} {loss.item()}')\nbar.close()\n",
    "counted by hand": "bar = tqdm(total=2)\nfor epoch in range(2):" + EPOCH + "    bar.update(1)\nbar.close()\n",
    "a with": "with tqdm(range(2)) as bar:  # of epochs\n    for epoch in bar:"
    + EPOCH.replace("\n", "\n    ")
    + "    bar.set_postfix(loss=loss.item())\n",
    "a with around both": "with tqdm(total=8) as bar:\n    for epoch in range(2):"
    + EPOCH.replace("\n", "\n    ")
    + "        bar.update(1)\n        print(epoch)\n",
}


@pytest.mark.parametrize("loop", SHOWS.values(), ids=SHOWS)
def test_goes_to_the_trainer(loop: str, tmp_path: Path) -> None:
    result = same(IMPORT + script(loop + "print(epoch, loss.item())\n"), tmp_path)
    assert result.code is not None and result.datamodule is not None
    assert not any(call in result.code for call in ("tqdm(", "trange(", "bar."))


def test_comments_of_the_with_stay(tmp_path: Path) -> None:
    result = same(IMPORT + script(SHOWS["a with"]), tmp_path)
    assert result.code is not None and "\n# of epochs\n" in result.code


def test_a_bar_that_another_loop_goes_over_stays(tmp_path: Path) -> None:
    result = same(IMPORT + script(SHOWS["a name"] + "for _ in bar:\n    print('again')\n"), tmp_path)
    assert result.code is not None and "bar = tqdm(range(2), desc='training')" in result.code


KEPT = "seen = []\n\n\ndef label(value):\n    seen.append(value)\n    return str(value)\n\n\n"
MORE = {
    "read": "    print(bar.n)\n",
    "drawing": "    bar.set_postfix(out=model(X).sum().item())\n",
    "remembering": "    bar.set_description(label(epoch))\n",
    "writing": "    bar.write('to standard output')\n",
}


@pytest.mark.parametrize("told", MORE.values(), ids=MORE)
def test_one_that_does_more_is_refused(told: str) -> None:
    result = convert(IMPORT + script(KEPT + "bar = tqdm(range(2))\nfor epoch in bar:" + EPOCH + told), Options())
    assert [(d.code, "'bar'" in d.message) for d in result.diagnostics] == [("TL103", True)]


def test_a_range_of_the_scripts_own_is_none() -> None:
    own = "def trange(n):\n    return range(n + 1)\n\n\nfor epoch in trange(2):" + EPOCH
    assert convert(script(own), Options()).code is None


def test_what_a_called_function_changes_around_it_is_not_passed_over(tmp_path: Path) -> None:
    loop = KEPT + "for epoch in range(2):\n    bar = tqdm(train_loader)\n    for x, t in bar:"
    step = EPOCH.split("train_loader:")[1] + "        bar.set_description(label(epoch))\nprint(seen)\n"
    result = convert(IMPORT + script(loop + step), Options())
    assert result.code is None or same(IMPORT + script(loop + step), tmp_path)


def test_a_list_that_a_function_fills_stays_where_that_function_looks(tmp_path: Path) -> None:
    loop = KEPT + "for epoch in range(2):" + EPOCH + "        label(loss.item())\n    print(len(seen))\nprint(seen)\n"
    code = same(script(loop), tmp_path).code
    assert code is not None and "self.seen" not in code

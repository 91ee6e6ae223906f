"""The demos: the same layers, the same random draws and the same training as Lightning's."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from torchlift.demos import WikiText2

BORING = "boring_classes"


def demo(runtime: str, module: str) -> Any:
    package = "torchlift" if runtime == "torchlift" else "lightning.pytorch"
    return importlib.import_module(f"{package}.demos.{module}")


def on_both(module: str, use: Any) -> tuple[Any, Any]:
    """What `use` gives for the demo module of either runtime, from the same seed."""
    found = []
    for runtime in ("torchlift", "lightning"):
        torch.manual_seed(11)
        found.append(use(demo(runtime, module)))
    return found[0], found[1]


def assert_equal(ours: Any, theirs: Any) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["BoringModel", "ManualOptimBoringModel", "DemoModel", "Net"])
def test_a_module_has_the_same_state(name: str) -> None:
    ours, theirs = on_both(BORING, lambda module: dict(getattr(module, name)().state_dict()))
    assert list(ours) == list(theirs)
    assert_equal(ours, theirs)


@pytest.mark.parametrize(
    "name", ["RandomDataset", "RandomDictDataset", "RandomIterableDataset", "RandomIterableDatasetWithLen"]
)
def test_a_dataset_draws_the_same(name: str) -> None:
    def use(module: Any) -> tuple[list[Any], int | None]:
        dataset = getattr(module, name)(3, 5)
        return list(DataLoader(dataset, batch_size=2)), len(dataset) if hasattr(dataset, "__len__") else None

    ours, theirs = on_both(BORING, use)
    assert_equal(ours[0], theirs[0])
    assert ours[1] == theirs[1]


@pytest.mark.parametrize("name", ["BoringDataModule", "BoringDataModuleNoLen", "IterableBoringDataModule"])
@pytest.mark.parametrize("stage", ["fit", "validate", "test", "predict"])
def test_a_data_module_gives_the_same_batches(name: str, stage: str) -> None:
    def use(module: Any) -> list[Any]:
        data = getattr(module, name)()
        data.setup(stage)
        loaders = getattr(data, {"fit": "train", "validate": "val"}.get(stage, stage) + "_dataloader")()
        return [list(loader) for loader in (loaders if isinstance(loaders, list) else [loaders])]

    assert_equal(*on_both(BORING, use))


@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [
        ("transformer", "Transformer", {"vocab_size": 20, "ninp": 8, "nhid": 8}),
        ("lstm", "SimpleLSTM", {"vocab_size": 20, "ninp": 8, "nhid": 8, "nlayers": 2}),
    ],
)
def test_a_language_model_computes_the_same(module: str, name: str, arguments: dict[str, Any]) -> None:
    def use(demos: Any) -> tuple[Any, Any]:
        model = getattr(demos, name)(**arguments)
        words = torch.arange(10).view(2, 5)
        out = model(words, words + 1) if name == "Transformer" else model(words, model.init_hidden(2))[0]
        return dict(model.state_dict()), out

    ours, theirs = on_both(module, use)
    assert list(ours[0]) == list(theirs[0])
    assert_equal(ours, theirs)


def test_signatures_are_the_same() -> None:
    for module in (BORING, "transformer", "lstm", "mnist_datamodule"):
        theirs = demo("lightning", module)
        for name in demo("torchlift", module).__all__:
            if inspect.isclass(getattr(theirs, name)):
                pair = [
                    list(inspect.signature(getattr(demo(one, module), name).__init__).parameters)
                    for one in ("torchlift", "lightning")
                ]
                assert pair[0] == pair[1], name


def test_text_is_cut_into_blocks_that_are_one_word_apart(tmp_path: Path) -> None:
    (tmp_path / "wikitext-2.txt").write_text("a b c\na c d e\n" * 3)
    text = WikiText2(tmp_path, block_size=4, download=False)
    assert text.dictionary.idx2word == ["a", "b", "c", "<eos>", "d", "e"]
    words, following = text[0]
    assert (words.tolist(), following.tolist()) == ([0, 1, 2, 3], [1, 2, 3, 0])
    assert len(text) == 27 // 4 - 1


def test_batches_of_the_lstm_go_on_where_the_last_ended() -> None:
    ours, theirs = on_both("lstm", lambda module: list(module.SequenceSampler(range(11), batch_size=3)))
    assert ours == theirs == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]


def test_mnist_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_USE_MOCKED_MNIST", "1")
    from torchlift.demos.mnist_datamodule import MNIST

    with pytest.raises(RuntimeError, match=r"Dataset not found: .* lacks training\.pt and test\.pt"):
        MNIST(str(tmp_path), download=False)
    folder = tmp_path / "MNIST" / "complete"
    folder.mkdir(parents=True)
    for name in ("training.pt", "test.pt"):
        torch.save((torch.full((3, 28, 28), 255, dtype=torch.uint8), torch.tensor([1, 2, 3])), folder / name)
    images = MNIST(str(tmp_path), download=False, normalize=(255.0, 2.0))
    image, digit = images[1]
    assert (image.shape, image.sum().item(), digit) == ((1, 28, 28), 0.0, 2)

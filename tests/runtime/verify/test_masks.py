"""Durations and clocks are masked, numbers are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from torchlift.verify.masks import MASKS, Mask, masked, masked_lines


@pytest.mark.parametrize("mask", MASKS, ids=lambda mask: mask.name)
def test_each_mask_covers_its_example_and_is_documented(mask: Mask) -> None:
    assert mask.pattern.sub("", mask.example).strip() == ""
    document = (Path(__file__).parents[3] / "docs" / "verify.md").read_text(encoding="utf-8")
    assert mask.example.expandtabs(1) in document


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("epoch 3 took 12.5", "epoch 3<time>"),
        (
            "| epoch   1 |   200/ 2983 batches | ms/batch 12.34 | loss 5.1",
            "| epoch 1 | 200/ 2983 batches |<time>| loss 5.1",
        ),
        ("training time: 3 min 20 sec", "training<time>"),
        ("training time: 20 sec", "training<time>"),
        ("1m 30s (- 2m 3s) (5 5%) 2.1", "<time>(-<time>) (5 5%) 2.1"),
        ("Step: 12ms | Tot: 1s234ms | Loss: 1.2", "Step:<time>| Tot:<time>| Loss: 1.2"),
        ("Step: 1s2ms | Tot: 34ms | Loss: 1.2", "Step:<time>| Tot:<time>| Loss: 1.2"),
        ("123.4 images/sec, loss 0.5", "<time>, loss 0.5"),
        ("done in 1:02:03", "done in<time>"),
        ("Epoch time = 1.5s loss 0.3", "Epoch<time>loss 0.3"),
        ("[00:12<00:34,  3.40it/s]", "[<time><<time>,<time>]"),
        ("loss:0.3, time:4.2, acc:0.9", "loss:0.3,<time>, acc:0.9"),
        ("iter 100: loss 2.1, time 120.53ms, mfu 3.2%", "iter 100: loss 2.1,<time>, mfu 3.2%"),
        ("saved to logs/20241122-221410/x.pt", "saved to logs/<time>/x.pt"),
    ],
)
def test_what_tells_the_time_is_masked_and_the_rest_stays(line: str, expected: str) -> None:
    assert masked(line) == expected


@pytest.mark.parametrize(
    "line",
    [
        "epoch 3 loss 0.1234 accuracy 97.1%",
        "Epoch [3/10], Step [100/600], Loss: 0.2310",
        "max 0.9 min 0.3",
        "lr 1e-3 step 10",
        "timestep 5 value 2.0",
        "[D loss: 0.4321] [G loss: 1.2345]",
        "ratio 1:30",
        "weights: 5 samples 10 steps",
        "1.5 m tall, 20 meshes, 3 hidden",
        "torch.Size([2, 3]) 12 s2 3x",
        "2024 items, 10-20-30",
    ],
)
def test_other_numbers_are_left_alone(line: str) -> None:
    assert masked(line) == line


def test_blanks_collapse_only_where_something_was_masked() -> None:
    assert masked("a   b") == "a   b"
    assert masked("a   1.2s   b") == masked("a 13.45s b")


def test_trailing_blanks_do_not_count() -> None:
    assert masked_lines("a  \nb") == ["a", "b"]

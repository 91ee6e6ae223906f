"""The progress bars: what a terminal shows, what a log file gets, and that standard output is the script's alone."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm as OracleTqdm

from torchlift import Trainer, defaults
from torchlift.callbacks import RichProgressBar, RichProgressBarTheme, Tqdm, TQDMProgressBar
from torchlift.callbacks.progress import _meter, rich_progress


class Terminal(io.StringIO):
    """A terminal that two streams share; ``rows`` is what stands on the screen."""

    def __init__(self, name: str, shared: list[str]) -> None:
        super().__init__()
        self.name, self.shared, self.own = name, shared, ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.shared.append(text)
        self.own += text
        return len(text)

    @property
    def rows(self) -> list[str]:
        rows, column = [""], 0
        for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", "".join(self.shared)):
            if token == "\n":
                rows.append("")
                column = 0
            elif token == "\r":
                column = 0
            elif token == "\x1b[2K":
                rows[-1] = ""
            elif not token.startswith("\x1b"):
                rows[-1] = rows[-1][:column].ljust(column) + token + rows[-1][column + len(token) :]
                column += len(token)
        return [row.rstrip() for row in rows]


@pytest.fixture
def open_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Terminal]:
    """Put both standard streams on one terminal (inside the test: pytest sets them anew between fixture and test)."""

    def put(columns: int = 100) -> Terminal:
        shared: list[str] = []
        monkeypatch.setattr(sys, "stdout", Terminal("out", shared))
        monkeypatch.setattr(sys, "stderr", Terminal("err", shared))
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm")
        return sys.stdout  # type: ignore[return-value]

    return put


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Time that passes only when the test says so."""
    time = SimpleNamespace(now=100.0)
    for module in (rich_progress, _meter):
        monkeypatch.setattr(module, "monotonic", lambda: time.now)
    return time


class Run:
    """A trainer as far as a bar sees it, and a count of how often its metrics were read."""

    def __init__(self) -> None:
        self.reads = 0
        self.is_global_zero, self.sanity_checking, self.loggers = True, False, []
        self.current_epoch, self.max_epochs, self.max_steps, self.global_step = 0, 3, -1, 0
        self.num_training_batches, self.num_val_batches = 50, [20]
        self.state = SimpleNamespace(fn="fit")

    @property
    def progress_bar_metrics(self) -> dict[str, Any]:
        self.reads += 1
        return {"loss": torch.tensor(0.25), "n": 3}


def begin(bar: Any, run: Any) -> None:
    bar.setup(run, None, "fit")
    bar.on_train_start(run, None)
    bar.on_train_epoch_start(run, None)


def batches(bar: Any, run: Any, first: int, last: int) -> None:
    for index in range(first, last):
        bar.on_train_batch_end(run, None, None, None, index)


def test_one_line_shows_the_epoch_and_its_metrics(
    open_terminal: Callable[..., Terminal], clock: SimpleNamespace
) -> None:
    terminal = open_terminal()
    run, bar = Run(), RichProgressBar()
    begin(bar, run)
    clock.now += 5
    batches(bar, run, 0, 10)
    assert re.fullmatch(
        r"Epoch 0/2  \S+ 1/50 0:00:05 • 0:04:05 0.20it/s loss: 0.250 n: 3", terminal.rows[-1].strip()
    ), terminal.rows


def test_metrics_are_read_only_when_the_line_is_drawn(
    open_terminal: Callable[..., Terminal], clock: SimpleNamespace
) -> None:
    open_terminal()
    run, bar = Run(), RichProgressBar()
    begin(bar, run)
    batches(bar, run, 0, 1000)
    assert run.reads == 0  # no time has passed
    clock.now += 1
    batches(bar, run, 1000, 2000)
    assert run.reads == 1


def test_a_refresh_rate_is_in_batches(open_terminal: Callable[..., Terminal], clock: SimpleNamespace) -> None:
    open_terminal()
    run, bar = Run(), RichProgressBar(refresh_rate=20)
    begin(bar, run)
    for index in range(50):
        clock.now += 1
        batches(bar, run, index, index + 1)
    assert run.reads == 2


def test_what_the_script_prints_stands_above_the_line_and_reaches_its_stream_unchanged(
    open_terminal: Callable[..., Terminal], clock: SimpleNamespace
) -> None:
    terminal = open_terminal()
    run, bar = Run(), RichProgressBar()
    begin(bar, run)
    clock.now += 1
    batches(bar, run, 0, 1)
    print("first")
    print("in two", end=" ")
    clock.now += 1
    batches(bar, run, 1, 2)  # must not draw into the script's unfinished line
    print("parts")
    print("to standard error", file=sys.stderr)
    clock.now += 1
    batches(bar, run, 2, 3)
    assert terminal.rows[:3] == ["first", "in two parts", "to standard error"]
    assert len(terminal.rows) == 4 and "3/50" in terminal.rows[3]
    assert terminal.own == "first\nin two parts\n"


def test_validation_takes_the_line_and_gives_it_back(
    open_terminal: Callable[..., Terminal], clock: SimpleNamespace
) -> None:
    terminal = open_terminal()
    run, bar = Run(), RichProgressBar()
    begin(bar, run)
    batches(bar, run, 0, 50)
    bar.on_validation_start(run, None)
    clock.now += 1
    bar.on_validation_batch_end(run, None, None, None, 4, 0)
    assert "Validation" in terminal.rows[-1] and "5/20" in terminal.rows[-1]
    bar.on_validation_end(run, None)
    assert terminal.rows[-1] == ""
    bar.on_train_end(run, None)
    assert "50/50" in terminal.rows[-2] and terminal.rows[-1] == ""
    assert len(terminal.rows) == 2


def test_the_line_is_one_row_however_narrow_the_terminal(
    open_terminal: Callable[..., Terminal], clock: SimpleNamespace
) -> None:
    terminal = open_terminal(columns=30)
    run, bar = Run(), RichProgressBar()
    begin(bar, run)
    for index in range(3):
        clock.now += 1
        batches(bar, run, index, index + 1)
    assert len(terminal.rows) == 1 and len(terminal.rows[0]) <= 30


def test_leave_keeps_the_line_of_every_epoch(open_terminal: Callable[..., Terminal], clock: SimpleNamespace) -> None:
    terminal = open_terminal()
    run, bar = Run(), RichProgressBar(leave=True)
    begin(bar, run)
    for run.current_epoch in range(3):
        bar.on_train_epoch_start(run, None)
        batches(bar, run, 0, 50)
        bar.on_train_epoch_end(run, None)
    bar.on_train_end(run, None)
    assert [row[:9] for row in terminal.rows] == ["Epoch 0/2", "Epoch 1/2", "Epoch 2/2", ""]


def test_an_exception_leaves_the_line_and_gives_the_streams_back(
    open_terminal: Callable[..., Terminal], clock: SimpleNamespace
) -> None:
    terminal = open_terminal()
    streams = sys.stdout, sys.stderr
    run, bar = Run(), RichProgressBar()
    begin(bar, run)
    assert (sys.stdout, sys.stderr) != streams
    batches(bar, run, 0, 7)
    bar.on_exception(run, None, KeyboardInterrupt())
    assert (sys.stdout, sys.stderr) == streams
    assert "Epoch 0" in terminal.rows[-2] and " 7/50 " in terminal.rows[-2] and terminal.rows[-1] == ""


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_screen_that_is_gone_does_not_end_the_run(
    monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace, is_terminal: bool
) -> None:
    class Gone(Terminal):
        def isatty(self) -> bool:
            return is_terminal

        def write(self, text: str) -> int:
            raise BrokenPipeError

    stdout = sys.stdout
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Gone("err", []))
    run, bar = Run(), RichProgressBar()
    begin(bar, run)
    for index in range(5):
        clock.now += 20
        batches(bar, run, index, index + 1)
    bar.on_train_end(run, None)
    assert bar.is_disabled and sys.stdout is stdout and run.reads == 1


def test_a_loader_without_length_has_no_end_in_sight(
    open_terminal: Callable[..., Terminal], clock: SimpleNamespace
) -> None:
    terminal = open_terminal()
    run, bar = Run(), RichProgressBar()
    run.num_training_batches = float("inf")  # type: ignore[assignment]
    begin(bar, run)
    clock.now += 1
    batches(bar, run, 0, 1)
    assert "1/-- 0:00:01 • -:--:--" in terminal.rows[-1]


def test_a_log_file_gets_few_plain_lines(clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    run, bar = Run(), RichProgressBar(theme=RichProgressBarTheme(metrics_format=".1f"))
    begin(bar, run)
    for index in range(50):
        clock.now += 0.5
        batches(bar, run, index, index + 1)
    bar.on_train_end(run, None)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "Epoch 0/2: 20/50, 0:00:10 elapsed, 0:00:15 left, 2.00it/s, loss: 0.2, n: 3",
        "Epoch 0/2: 40/50, 0:00:20 elapsed, 0:00:05 left, 2.00it/s, loss: 0.2, n: 3",
        "Epoch 0/2: 50/50, 0:00:25 elapsed, 2.00it/s, loss: 0.2, n: 3",
    ]


@pytest.mark.parametrize("make", [lambda: RichProgressBar(refresh_rate=0), lambda: TQDMProgressBar(refresh_rate=0)])
def test_a_disabled_bar_shows_and_reads_nothing(make: Any, open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal()
    run, bar = Run(), make()
    begin(bar, run)
    batches(bar, run, 0, 50)
    bar.on_train_epoch_end(run, None)
    bar.on_train_end(run, None)
    assert bar.is_disabled and run.reads == 0 and terminal.shared == []


def test_other_ranks_show_nothing(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal()
    run, bar = Run(), RichProgressBar()
    run.is_global_zero = False
    begin(bar, run)
    batches(bar, run, 0, 50)
    bar.on_train_end(run, None)
    assert bar.is_disabled and terminal.shared == []


def test_tqdm_draws_on_standard_error(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal()
    run, bar = Run(), TQDMProgressBar()
    begin(bar, run)
    batches(bar, run, 0, 50)
    bar.on_train_end(run, None)
    assert terminal.own == ""
    assert re.search(r"Epoch 0: 100%\|.*\| 50/50 .*loss=0.250, n=3", "".join(terminal.shared))


@pytest.mark.parametrize("options", [{}, {"refresh_rate": 3}, {"refresh_rate": 50}, {"leave": True}])
def test_tqdm_counts_as_lightnings_does_also_without_a_terminal(options: dict[str, Any], tmp_path: Path) -> None:
    """After each batch: how far the bar is, of how many, and what it says; validation twice an epoch, two loaders."""
    import lightning

    import torchlift

    def counted(L: Any) -> list[Any]:
        seen: list[Any] = []

        class Watched(L.pytorch.callbacks.TQDMProgressBar):
            def on_train_batch_end(self, *args: Any) -> None:
                super().on_train_batch_end(*args)
                note(self.train_progress_bar)

            def on_validation_batch_end(self, *args: Any) -> None:
                super().on_validation_batch_end(*args)
                note(self.val_progress_bar)

        class Module(L.LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.weight = torch.nn.Parameter(torch.ones(()))

            def training_step(self, batch: Any, batch_idx: int) -> Any:
                return self.weight * batch.sum()

            def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None: ...

            def configure_optimizers(self) -> Any:
                return torch.optim.SGD(self.parameters(), lr=0.01)

        def note(bar: Any) -> None:
            seen.append((bar.n, bar.total, bar.desc, bar.leave))

        bar = Watched(**options)
        quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
        trainer = L.Trainer(
            **quiet, accelerator="cpu", max_epochs=2, val_check_interval=4, callbacks=[bar], default_root_dir=tmp_path
        )
        loaders = [torch.utils.data.DataLoader(torch.ones(length)) for length in (7, 5, 4)]
        trainer.fit(Module(), loaders[0], loaders[1:])
        note(bar.train_progress_bar)
        trainer.validate(Module(), loaders[1])
        note(bar.val_progress_bar)
        return seen

    assert counted(torchlift) == counted(lightning)


@pytest.mark.parametrize(
    ("environment", "given", "rate"),
    [({}, 1, 1), ({"COLAB_GPU": "1"}, 1, 20), ({"COLAB_GPU": "1"}, 19, 19), ({"TQDM_MINITERS": "5"}, 0, 5)],
)
def test_tqdm_counts_less_often_where_the_environment_says_so(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], given: int, rate: int
) -> None:
    for name in ("COLAB_GPU", "TQDM_MINITERS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert TQDMProgressBar(refresh_rate=given).refresh_rate == rate


@given(st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9) | st.sampled_from(["1", "0.5", "abc", "1e-05"]))
def test_tqdm_pads_numbers_as_lightning_does(number: Any) -> None:
    assert Tqdm.format_num(number) == OracleTqdm.format_num(number)


@pytest.mark.parametrize("name", ["RichProgressBar", "TQDMProgressBar"])
def test_a_run_leaves_standard_output_alone_and_a_log_file_free_of_control_codes(
    harness: Any, kind: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from lightning.pytorch.callbacks import ProgressBar as Theirs

    bar = harness.callback_class(kind, name)
    bar = (bar if kind == "torchlift" else type(name, (bar, Theirs), {}))()
    options = {"train_script": {"loss": [0.5, 0.25]}}
    trained = harness.run(
        kind, [bar], tmp_path, module_options=options, max_epochs=2, enable_progress_bar=True, num_sanity_val_steps=1
    )
    trained.validate(trained.lightning_module, torch.utils.data.DataLoader([0]), verbose=False)
    out, err = capsys.readouterr()
    assert out == "" and "\x1b" not in err and "\r" not in err
    if name == "RichProgressBar":
        lines = [line for line in err.splitlines() if "it/s" in line]
        assert [line.partition(",")[0] for line in lines] == ["Epoch 1/1: 4/4", "Validation: 1/1"]


def test_metrics_beside_the_bar_are_lightnings(harness: Any, kind: str, tmp_path: Path) -> None:
    from lightning.pytorch.callbacks import ProgressBar as Theirs
    from lightning.pytorch.callbacks import RichProgressBar as Oracle

    def watch(base: tuple[type, ...]) -> tuple[Any, list[Any]]:
        seen: list[Any] = []

        class Watched(*base):  # type: ignore[misc]
            def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
                seen.append((self.get_metrics(trainer, pl_module), self.total_train_batches, self.total_val_batches))

        return Watched(refresh_rate=0), seen

    results = []
    for one in ("lightning", kind):
        base = {"lightning": (Oracle,), "bridged": (RichProgressBar, Theirs), "torchlift": (RichProgressBar,)}[one]
        bar, seen = watch(base)
        options = {"train_script": {"loss": [0.5, 0.25]}, "prog_bar": True}
        harness.run(one, [bar], tmp_path, module_options=options, max_epochs=2, enable_progress_bar=True)
        results.append(seen)
    assert results[0] == results[1] and "loss" in results[0][0][0]


def test_the_default_bar_is_rich_and_without_it_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    def bars() -> list[type]:
        trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
        return [type(one) for one in trainer.callbacks if isinstance(one, RichProgressBar | TQDMProgressBar)]

    assert bars() == [RichProgressBar]
    monkeypatch.setattr(defaults, "find_spec", lambda name, *_: None)
    assert bars() == [TQDMProgressBar]

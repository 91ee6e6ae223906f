"""The Trainer's arguments, its attributes, and how runs end when they do not end by themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from datetime import timedelta
from typing import Any

import pytest
import torch

import torchlift as L
from torchlift.utilities.exceptions import MisconfigurationException

WRONG_ARGUMENTS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "accelerator": ({"accelerator": "invalid"}, ValueError, "invalid accelerator name"),
    "tpu": ({"accelerator": "tpu"}, MisconfigurationException, "TPU"),
    "hpu": ({"accelerator": "hpu"}, ValueError, "invalid accelerator name.*'hpu'"),
    "ipu": ({"accelerator": "ipu"}, ValueError, "invalid accelerator name.*'ipu'"),
    "no devices": ({"accelerator": "cpu", "devices": 0}, MisconfigurationException, "devices=0"),
    "two devices": ({"accelerator": "cpu", "devices": 2}, MisconfigurationException, "uses one device"),
    "two machines": ({"num_nodes": 2}, MisconfigurationException, "uses one device"),
    "strategy": ({"strategy": "ddp"}, MisconfigurationException, "'ddp'"),
    "precision": ({"precision": "17-mixed"}, ValueError, "17-mixed"),
    "limit": ({"limit_train_batches": 1.5}, MisconfigurationException, "1.5"),
    "negative limit": ({"limit_val_batches": -1}, MisconfigurationException, "-1"),
    "fast_dev_run": ({"fast_dev_run": -1}, MisconfigurationException, "fast_dev_run=-1"),
    "max_epochs": ({"max_epochs": -2}, MisconfigurationException, "-2"),
    "max_steps": ({"max_steps": -2}, MisconfigurationException, "-2"),
    "clip algorithm": ({"gradient_clip_algorithm": "norm2"}, MisconfigurationException, "norm2"),
    "clip value": ({"gradient_clip_val": "high"}, TypeError, "high"),
    "check_val_every_n_epoch": ({"check_val_every_n_epoch": 1.5}, MisconfigurationException, "1.5"),
    "interval": ({"val_check_interval": 0.5, "check_val_every_n_epoch": None}, MisconfigurationException, "integer"),
    "interval as time": ({"val_check_interval": "1:2"}, MisconfigurationException, "DD:HH:MM:SS"),
    "reload": ({"reload_dataloaders_every_n_epochs": -1}, MisconfigurationException, ">= 0"),
    "barebones": ({"barebones": True, "enable_checkpointing": True}, ValueError, "barebones"),
    "plugin": ({"plugins": ["x"]}, MisconfigurationException, "plugin"),
}


@pytest.mark.parametrize("case", WRONG_ARGUMENTS)
def test_wrong_arguments(lab: Any, case: str) -> None:
    options, error, words = WRONG_ARGUMENTS[case]
    with pytest.raises(error, match=words):
        L.Trainer(**{**(lab.QUIET if "barebones" not in options else {}), **options})


def test_a_gpu_that_is_not_there(lab: Any) -> None:
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("this machine has a GPU")
    for name in ("gpu", "cuda", "mps"):
        with pytest.raises(MisconfigurationException, match=r"cpu|auto"):
            L.Trainer(**{**lab.QUIET, "accelerator": name})
    assert L.Trainer(**{**lab.QUIET, "accelerator": "auto"}).strategy.root_device.type == "cpu"


MISSING: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "training_step": ({"training_step": None}, MisconfigurationException),
    "a string returned": ({"training_step": lambda self, batch, i: "loss"}, MisconfigurationException),
    "a dict without loss": ({"training_step": lambda self, batch, i: {"x": 1}}, MisconfigurationException),
    "several optimizers": (
        {"configure_optimizers": lambda self: [torch.optim.SGD(self.parameters(), 0.1) for _ in range(2)]},
        RuntimeError,
    ),
    "no optimizer at all": ({"configure_optimizers": lambda self: 3}, MisconfigurationException),
    "a plateau without monitor": (
        {
            "configure_optimizers": lambda self: (
                [opt := torch.optim.SGD(self.parameters(), 0.1)],
                [torch.optim.lr_scheduler.ReduceLROnPlateau(opt)],
            )
        },
        MisconfigurationException,
    ),
    "a hook of Lightning 1": ({"training_epoch_end": lambda self, outputs: None}, NotImplementedError),
}


@pytest.mark.parametrize("case", MISSING)
def test_what_a_module_lacks(differential: Any, lab: Any, case: str) -> None:
    """The same kind of error as in lightning, and our message is a sentence."""
    methods, error = MISSING[case]

    def experiment(R: Any, observed: Any) -> Any:
        module, trainer = lab.classifier(R, **methods)(), R.Trainer(**lab.QUIET, max_epochs=1)
        with pytest.raises(Exception) as raised:
            trainer.fit(module, lab.loader())
        if R is L:
            assert isinstance(raised.value, error) and len(str(raised.value)) > 20
        return module, trainer, [type(raised.value).__name__, trainer.state.status.value]

    if case == "training_step":
        methods = {"training_step": L.LightningModule.training_step}
        with pytest.raises(MisconfigurationException, match="training_step"):
            L.Trainer(**lab.QUIET, max_epochs=1).fit(lab.classifier(L, **methods)(), lab.loader())
        return
    differential.same(experiment)


def test_no_loader(lab: Any) -> None:
    with pytest.raises(MisconfigurationException, match="train_dataloader"):
        L.Trainer(**lab.QUIET, max_epochs=1).fit(lab.classifier(L)())
    with pytest.raises(TypeError, match="train_dataloaders"):
        L.Trainer(**lab.QUIET, max_epochs=1).fit(lab.classifier(L)(), 3)
    with pytest.raises(TypeError, match="LightningModule"):
        L.Trainer(**lab.QUIET, max_epochs=1).fit(torch.nn.Linear(1, 1))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="previous run"):
        L.Trainer(**lab.QUIET).validate()


def test_options_that_do_not_go_with_manual_optimization(lab: Any) -> None:
    module = lab.classifier(L)()
    module.automatic_optimization = False
    for options in ({"gradient_clip_val": 1.0}, {"accumulate_grad_batches": 2}):
        with pytest.raises(MisconfigurationException, match="manual optimization"):
            L.Trainer(**lab.QUIET, max_epochs=1, **options).fit(module, lab.loader())
    automatic = lab.classifier(L, training_step=lambda self, b, i: self.manual_backward(self.loss(b)))()
    with pytest.raises(MisconfigurationException, match="automatic_optimization"):
        L.Trainer(**lab.QUIET, max_epochs=1).fit(automatic, lab.loader())


# -- how runs end -----------------------------------------------------------------------------------------------------


def test_an_exception_reaches_everyone(differential: Any, lab: Any) -> None:
    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        if batch_idx == 3:
            raise RuntimeError("mine")
        return self.loss(batch)

    def experiment(R: Any, observed: Any) -> Any:
        class Listener(R.Callback):
            def on_exception(self, trainer: Any, module: Any, exception: BaseException) -> None:
                observed.events.append((str(exception), trainer.state.status.value))

            def teardown(self, *args: Any, **kwargs: Any) -> None:
                observed.events.append("teardown")

        module = lab.classifier(R, training_step=training_step)()
        trainer = R.Trainer(**lab.QUIET, max_epochs=1, callbacks=[Listener()])
        with pytest.raises(RuntimeError, match="mine"):
            trainer.fit(module, lab.loader())
        return module, trainer, [trainer.interrupted, trainer.global_step, trainer.state.stage]

    differential.same(experiment)


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("where", ["training_step", "on_train_epoch_end", "on_validation_start", "on_train_batch_end"])
def test_fit_again_after_an_exception(differential: Any, lab: Any, where: str, epoch: int) -> None:
    """The epoch that was cut short is run again; what was logged before is not mixed in."""

    def experiment(R: Any, observed: Any) -> Any:
        cls = lab.classifier(R)

        def once(self: Any, *args: Any) -> Any:
            if self.current_epoch == epoch and not self.failed and not self.trainer.sanity_checking:
                self.failed = True
                raise RuntimeError("mine")
            return getattr(super(failing, self), where)(*args)

        failing = type("Failing", (cls,), {where: once, "failed": False})
        module = lab.recording(failing, observed)()
        trainer = R.Trainer(**lab.QUIET, max_epochs=3, callbacks=[lab.recording_callback(R, observed, metrics=True)])
        with pytest.raises(RuntimeError, match="mine"):
            trainer.fit(module, lab.loader(), lab.loader(10, shuffle=False))
        observed.events.append((trainer.current_epoch, trainer.global_step))
        trainer.fit(module, lab.loader(), lab.loader(10, shuffle=False))
        return module, trainer, [trainer.current_epoch, trainer.global_step]

    differential.same(experiment)


SCRIPT = """
    import signal, sys, torch
    import {runtime} as L

    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may have it ignored

    class Module(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Linear(2, 1)
        def training_step(self, batch, batch_idx):
            print("step", flush=True)
            sys.stdin.readline() if batch_idx == 3 else None
            return self.net(batch).sum()
        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    options = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    trainer = L.Trainer(accelerator="cpu", max_epochs=100, **options)
    try:
        trainer.fit(Module(), torch.utils.data.DataLoader(torch.randn(16, 2)))
    except SystemExit as end:
        print("end", end.code, trainer.interrupted, trainer.global_step, flush=True)
        raise
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_signals(number: signal.Signals) -> None:
    """Both runtimes end a run alike: with ``SystemExit`` and ``trainer.interrupted``, at the same step."""
    ends = []
    for runtime in ("torchlift", "lightning"):
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(SCRIPT.format(runtime=runtime))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert process.stdout is not None and process.stdin is not None
        for _ in range(4):
            process.stdout.readline()
        process.send_signal(number)
        output, _ = process.communicate("\n")
        ends.append((process.returncode, [line for line in output.splitlines() if line.startswith("end")]))
    (status, said), (their_status, they_said) = ends
    assert said, "the run went on"
    assert [line.split()[2:] for line in said] == [line.split()[2:] for line in they_said]
    # After SIGTERM Lightning 2.6 ends as if all had gone well, so that nobody sees that the run is not finished.
    assert status == (128 + number if number == signal.SIGTERM else their_status)


def test_signal_handlers_are_put_back(lab: Any) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    L.Trainer(**lab.QUIET, max_epochs=1).fit(lab.classifier(L)(), lab.loader())
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_max_time_ends_a_run(lab: Any) -> None:
    trainer = L.Trainer(**lab.QUIET, max_time=timedelta(seconds=0.3), max_epochs=-1)
    trainer.fit(lab.classifier(L)(), lab.loader())
    assert trainer.global_step > 1


def test_validation_by_the_clock(lab: Any) -> None:
    """An interval of no time at all: validation after every batch."""
    seen = []
    methods = {"on_validation_start": lambda self: seen.append(self.global_step)}
    trainer = L.Trainer(**lab.QUIET, max_epochs=1, num_sanity_val_steps=0, val_check_interval={"seconds": 0})
    trainer.fit(lab.classifier(L, **methods)(), lab.loader(), lab.loader(10, shuffle=False))
    assert seen == [1, 2, 3, 4, 5, 6, 7]


# -- attributes -------------------------------------------------------------------------------------------------------


ATTRIBUTES = [
    "accumulate_grad_batches",
    "check_val_every_n_epoch",
    "current_epoch",
    "device_ids",
    "enable_validation",
    "evaluating",
    "fast_dev_run",
    "global_rank",
    "global_step",
    "gradient_clip_val",
    "interrupted",
    "is_global_zero",
    "is_last_batch",
    "limit_predict_batches",
    "limit_test_batches",
    "limit_train_batches",
    "limit_val_batches",
    "local_rank",
    "log_every_n_steps",
    "max_epochs",
    "max_steps",
    "min_epochs",
    "min_steps",
    "node_rank",
    "num_devices",
    "num_nodes",
    "num_predict_batches",
    "num_sanity_val_batches",
    "num_sanity_val_steps",
    "num_test_batches",
    "num_training_batches",
    "num_val_batches",
    "overfit_batches",
    "precision",
    "predicting",
    "received_sigterm",
    "reload_dataloaders_every_n_epochs",
    "sanity_checking",
    "should_stop",
    "testing",
    "training",
    "val_check_batch",
    "val_check_interval",
    "validating",
    "world_size",
    "estimated_stepping_batches",
    "datamodule",
    "logger",
    "loggers",
    "ckpt_path",
    "scaler",
    "distributed_sampler_kwargs",
    "checkpoint_callback",
    "early_stopping_callback",
    "progress_bar_callback",
]


def test_attributes_during_and_after_a_run(differential: Any, lab: Any) -> None:
    def experiment(R: Any, observed: Any) -> Any:
        def note(self: Any, *args: Any) -> None:
            observed.events.append([(name, lab.told(getattr(self.trainer, name))) for name in ATTRIBUTES])

        hooks = dict.fromkeys(("on_fit_start", "on_train_batch_end", "on_validation_end", "on_train_end"), note)
        module = lab.classifier(R, **hooks)()
        trainer = R.Trainer(**lab.QUIET, max_epochs=2, accumulate_grad_batches=2)
        trainer.fit(module, lab.loader(), lab.loader(10, shuffle=False))
        observed.events.append([(name, lab.told(getattr(trainer, name))) for name in ATTRIBUTES])
        own = ("current_epoch", "global_step", "global_rank", "local_rank", "on_gpu", "automatic_optimization")
        states = [str(trainer.state.fn.value), trainer.state.finished, trainer.state.stopped, trainer.state.stage]
        return module, trainer, [states, [getattr(module, name) for name in own], str(module.device), str(module.dtype)]

    differential.same(experiment)


def test_estimated_stepping_batches_in_configure_optimizers(differential: Any, lab: Any) -> None:
    """Asking makes the loaders earlier, which moves the random draws; it does so on both."""

    def configure(self: Any) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        steps = self.trainer.estimated_stepping_batches
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.2, total_steps=steps)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    def experiment(R: Any, observed: Any) -> Any:
        module = lab.classifier(R, configure_optimizers=configure)()
        trainer = R.Trainer(**lab.QUIET, max_epochs=2, accumulate_grad_batches=2)
        trainer.fit(module, lab.loader(), lab.loader(10))
        return module, trainer, trainer.global_step

    assert differential.same(experiment).result == 8


def test_module_moves_to_the_cpu_and_detaches(lab: Any) -> None:
    module = lab.classifier(L)()
    assert (module.current_epoch, module.global_step, module.logger, module.loggers) == (0, 0, None, [])
    with pytest.raises(RuntimeError, match="not attached"):
        module.trainer  # noqa: B018
    trainer = L.Trainer(**lab.QUIET, max_epochs=1)
    trainer.fit(module, lab.loader())
    assert module.trainer is trainer and module.device.type == "cpu"
    import copy
    import pickle

    assert copy.deepcopy(module)._trainer is None
    assert pickle.loads(pickle.dumps(module.net)) is not None


def test_freeze_and_unfreeze(lab: Any) -> None:
    module = lab.classifier(L)()
    assert module.freeze() is module and not module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert module.unfreeze() is module and module.training
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_device_and_dtype_follow_the_module(lab: Any) -> None:
    outer = lab.classifier(L)()
    outer.inner = lab.classifier(L)()
    outer.double()
    assert (outer.dtype, outer.inner.dtype) == (torch.float64, torch.float64)
    outer.to(torch.float16)
    assert outer.inner.dtype == torch.float16
    outer.to("meta")
    assert outer.inner.device.type == "meta"
    with pytest.raises(RuntimeError, match=r"module\.to"):
        outer.dtype = torch.float32


@pytest.mark.parametrize("number", [2, 3])
def test_workers_give_lightnings_batches(differential: Any, lab: Any, number: int) -> None:
    """Worker processes, seeded as ``seed_everything(workers=True)`` does it."""

    def experiment(R: Any, observed: Any) -> Any:
        try:
            R.seed_everything(number, workers=True, verbose=False)
            module, trainer = lab.classifier(R)(), R.Trainer(**lab.QUIET, max_epochs=2)
            trainer.fit(module, lab.loader(num_workers=2), lab.loader(10, shuffle=False))
        finally:
            os.environ.pop("PL_SEED_WORKERS", None)
            os.environ.pop("PL_GLOBAL_SEED", None)
        return module, trainer, None

    differential.same(experiment)


def test_barebones_does_nothing_on_the_side(differential: Any, lab: Any) -> None:
    def experiment(R: Any, observed: Any) -> Any:
        module = lab.recording(lab.classifier(R), observed)()
        trainer = R.Trainer(accelerator="cpu", barebones=True, max_epochs=2)
        trainer.fit(module, lab.loader(), lab.loader(10, shuffle=False))
        return module, trainer, [len(trainer.callbacks), trainer.loggers, trainer.log_every_n_steps]

    assert differential.same(experiment).result == [0, [], 0]


@pytest.mark.parametrize("inference", [True, False])
def test_inference_mode(differential: Any, lab: Any, inference: bool) -> None:
    """``validate`` runs in inference mode unless told not to; validation inside fit never does."""

    def experiment(R: Any, observed: Any) -> Any:
        def validation_step(self: Any, batch: Any, batch_idx: int) -> None:
            observed.events.append((torch.is_inference_mode_enabled(), torch.is_grad_enabled()))

        module = lab.classifier(R, validation_step=validation_step)()
        trainer = R.Trainer(**lab.QUIET, max_epochs=1, inference_mode=inference)
        trainer.validate(module, lab.loader(10, shuffle=False), verbose=False)
        trainer.fit(module, lab.loader(), lab.loader(10, shuffle=False))
        return module, trainer, torch.is_grad_enabled()

    events = differential.same(experiment).events
    assert events[0] == (inference, False) and (False, False) in events


def test_toggled_optimizers(differential: Any, lab: Any) -> None:
    def experiment(R: Any, observed: Any) -> Any:
        class Two(R.LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.automatic_optimization = False
                self.one, self.two = torch.nn.Linear(6, 2), torch.nn.Linear(2, 1)
                self.two.bias.requires_grad = False

            def training_step(self, batch: Any, batch_idx: int) -> None:
                first, second = self.optimizers()
                observed.events.append([isinstance(first, torch.optim.Adam), first.param_groups[0]["lr"]])
                observed.events.append([isinstance(one, torch.optim.SGD) for one in self.optimizers(False)])
                for context in (self.toggled_optimizer(first), first.toggle_model(), second.toggle_model(False)):
                    with context:
                        observed.events.append([p.requires_grad for p in self.parameters()])
                observed.events.append([p.requires_grad for p in self.parameters()])

            def configure_optimizers(self) -> Any:
                shared = [self.one.weight]
                first = torch.optim.Adam([*shared, self.one.bias], lr=0.1)
                return first, torch.optim.SGD([*shared, *self.two.parameters()], lr=0.2)

        trainer = R.Trainer(**lab.QUIET, fast_dev_run=2)
        module = Two()
        trainer.fit(module, lab.loader())
        return module, trainer, None

    differential.same(experiment)


def test_determinism_and_benchmark(lab: Any) -> None:
    before = (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark)
    try:
        L.Trainer(**lab.QUIET, deterministic=True)
        assert torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.benchmark
        L.Trainer(**lab.QUIET, deterministic="warn", benchmark=True)
        assert torch.is_deterministic_algorithms_warn_only_enabled() and torch.backends.cudnn.benchmark
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]


def test_init_module(lab: Any) -> None:
    trainer = L.Trainer(**lab.QUIET, precision="64-true")
    state = torch.get_rng_state()
    with trainer.init_module(empty_init=True):
        assert torch.nn.Linear(2, 2).weight.dtype == torch.float64
    assert torch.equal(state, torch.get_rng_state()), "an empty initialization draws nothing"
    with trainer.init_module():
        torch.nn.Linear(2, 2)
    assert not torch.equal(state, torch.get_rng_state())


def test_loading_is_done_on_the_class(lab: Any, tmp_path: Any) -> None:
    module = lab.classifier(L)()
    with pytest.raises(TypeError, match="on an instance"):
        module.load_from_checkpoint(tmp_path / "any.ckpt")


def test_overfitting_reads_a_shuffled_loader_in_order(differential: Any, lab: Any) -> None:
    def experiment(R: Any, observed: Any) -> Any:
        from torch.utils.data import BatchSampler, DataLoader, RandomSampler

        rows = lab.dataset()
        batches = DataLoader(rows, batch_sampler=BatchSampler(RandomSampler(rows), 4, drop_last=True))
        module = lab.recording(lab.classifier(R), observed)()
        trainer = R.Trainer(**lab.QUIET, max_epochs=2, overfit_batches=3)
        trainer.fit(module, batches, lab.loader(10))
        return module, trainer, None

    differential.same(experiment)


def test_the_default_trainer_writes_what_lightnings_does(differential: Any, lab: Any, monkeypatch: Any) -> None:
    """Same folders, same checkpoint, same keys."""

    def experiment(R: Any, observed: Any) -> Any:
        from pathlib import Path

        module, trainer = lab.classifier(R)(), R.Trainer(accelerator="cpu", max_epochs=2, enable_progress_bar=False)
        trainer.fit(module, lab.loader(), lab.loader(10, shuffle=False))
        names = [str(path) for path in sorted(Path().rglob("*")) if "events.out" not in path.name]
        path = trainer.checkpoint_callback.best_model_path
        saved = torch.load(path, weights_only=True)
        keys = [
            sorted(map(str, saved.keys() - {"torchlift"})),  # of our own: see test_exact_resume.py
            sorted(map(str, saved["loops"]["fit_loop"])),
            sorted(map(str, saved["callbacks"])),
        ]
        return module, trainer, [names, keys, os.path.relpath(trainer.log_dir)]

    names = differential.same(experiment).result[0]
    assert "lightning_logs/version_0/checkpoints/epoch=1-step=14.ckpt" in names

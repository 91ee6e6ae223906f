"""Accelerators, devices, strategies and plugins: what the arguments mean, and what they cannot mean."""

from __future__ import annotations

import os
import pickle
from typing import Any

import lightning
import pytest
import torch

import torchlift as L
import torchlift.accelerators
from torchlift.accelerators import (
    Accelerator,
    AcceleratorRegistry,
    CPUAccelerator,
    CUDAAccelerator,
    MPSAccelerator,
    find_usable_cuda_devices,
)
from torchlift.plugins import DoublePrecision, HalfPrecision, Precision, TorchCheckpointIO
from torchlift.strategies import SingleDeviceStrategy, Strategy, StrategyRegistry
from torchlift.utilities.exceptions import MisconfigurationException, PossibleUserWarning


def trainer(lab: Any, **options: Any) -> Any:
    return L.Trainer(**{**lab.QUIET, **options})


@pytest.fixture
def gpus(monkeypatch: Any) -> Any:
    """Pretend that the machine has so many GPUs."""

    def pretend(count: int) -> None:
        monkeypatch.setattr(torchlift.accelerators.cuda, "num_cuda_devices", lambda: count)

    return pretend


# -- accelerators and devices -----------------------------------------------------------------------------------------

DEVICES: dict[str, tuple[dict[str, Any], str]] = {
    "auto": ({"accelerator": "auto"}, "cpu"),
    "cpu": ({"accelerator": "cpu", "devices": 1}, "cpu"),
    "cpu, a string": ({"accelerator": "cpu", "devices": "1"}, "cpu"),
    "an object": ({"accelerator": CPUAccelerator()}, "cpu"),
    "single_device": ({"strategy": "single_device"}, "cpu"),
    "upper case": ({"strategy": "AUTO"}, "cpu"),
}


@pytest.mark.parametrize("case", DEVICES)
def test_devices(lab: Any, case: str) -> None:
    options, device = DEVICES[case]
    made = trainer(lab, **options)
    assert made.strategy.root_device == torch.device(device)
    assert (made.num_devices, made.device_ids, made.world_size, made.num_nodes) == (1, [0], 1, 1)
    assert (made.global_rank, made.local_rank, made.node_rank, made.is_global_zero) == (0, 0, 0, True)
    assert isinstance(made.accelerator, CPUAccelerator)
    assert made.distributed_sampler_kwargs is None


GPU_DEVICES: dict[Any, list[int]] = {1: [0], "1": [0], "2,": [2], "-1": [0], (1,): [1], "auto": [0]}


@pytest.mark.parametrize("given", GPU_DEVICES)
def test_gpus_by_number_and_by_index(lab: Any, gpus: Any, given: Any) -> None:
    gpus(1 if given == "-1" else 3)
    made = trainer(lab, accelerator="gpu", devices=list(given) if isinstance(given, tuple) else given)
    assert isinstance(made.accelerator, CUDAAccelerator)
    assert made.strategy.root_device == torch.device("cuda", *GPU_DEVICES[given])
    assert made.device_ids == GPU_DEVICES[given]


def test_auto_takes_the_gpu_and_not_taking_it_warns(lab: Any, gpus: Any) -> None:
    gpus(1)
    assert trainer(lab, accelerator="auto").strategy.root_device.type == "cuda"
    with pytest.warns(PossibleUserWarning, match="GPU available but not used"):
        trainer(lab, accelerator="cpu")


def test_mixed_precision_on_a_gpu_scales(lab: Any, gpus: Any) -> None:
    gpus(1)
    made = trainer(lab, accelerator="gpu", precision="16-mixed")
    assert made.precision == "16-mixed" and made.precision_plugin.device == "cuda"
    assert isinstance(made.scaler, torch.amp.GradScaler)
    assert made.precision_plugin.forward_context().fast_dtype is torch.float16
    with pytest.warns(UserWarning, match="AMP with fp16 is not supported on CPU"):
        assert trainer(lab, precision="16-mixed").precision == "bf16-mixed"


WRONG: dict[str, tuple[int, dict[str, Any], type[Exception], str]] = {
    "no such gpu": (2, {"accelerator": "gpu", "devices": [5]}, MisconfigurationException, "only has: .0, 1."),
    "twice the same": (2, {"accelerator": "gpu", "devices": [1, 1]}, MisconfigurationException, "must be unique"),
    "two": (2, {"accelerator": "gpu", "devices": 2}, MisconfigurationException, "2 devices.*uses one device"),
    "all": (2, {"accelerator": "gpu", "devices": -1}, MisconfigurationException, "2 devices"),
    "strings in a list": (2, {"accelerator": "gpu", "devices": ["0"]}, TypeError, "must be an int, a string, a seq"),
    "a boolean": (2, {"accelerator": "gpu", "devices": [False]}, TypeError, "must be an int, a string, a sequence"),
    "none": (2, {"accelerator": "gpu", "devices": None}, TypeError, "must be an int"),
    "no gpu": (0, {"accelerator": "gpu"}, MisconfigurationException, "No supported gpu backend found"),
    "no cuda": (0, {"accelerator": "cuda"}, MisconfigurationException, "CUDAAccelerator` can not run on your system"),
    "no mps": (0, {"accelerator": "mps"}, MisconfigurationException, "MPSAccelerator` can not run on your system"),
    "a list for the cpu": (0, {"accelerator": "cpu", "devices": [0]}, TypeError, "should be an int > 0"),
    "all of the cpu": (0, {"accelerator": "cpu", "devices": -1}, TypeError, "should be an int > 0"),
    "zero": (0, {"accelerator": "cpu", "devices": "0"}, MisconfigurationException, "not a valid input using cpu"),
    "empty": (0, {"accelerator": "cuda", "devices": []}, MisconfigurationException, "not a valid input using cuda"),
    "no nodes": (0, {"num_nodes": 0}, ValueError, "positive integer"),
    "ddp": (0, {"strategy": "ddp_spawn"}, MisconfigurationException, "come with a later one"),
    "upper ddp": (0, {"strategy": "DDP"}, MisconfigurationException, "come with a later one"),
    "no such strategy": (0, {"strategy": "cocofruit"}, ValueError, "invalid strategy name.*single_device"),
    "no strategy at all": (0, {"strategy": object()}, ValueError, "invalid strategy name"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_there_is_not(lab: Any, gpus: Any, case: str) -> None:
    count, options, error, words = WRONG[case]
    gpus(count)
    with pytest.raises(error, match=words):
        trainer(lab, **options)


@pytest.mark.parametrize("case", [case for case in WRONG if WRONG[case][0] == 0 and "ddp" not in case])
def test_lightning_raises_the_same(lab: Any, case: str) -> None:
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("this machine has a GPU")
    _, options, error, _ = WRONG[case]
    with pytest.raises(Exception) as caught:
        lightning.Trainer(**{**lab.QUIET, **options})
    assert caught.type.__name__ == error.__name__


def test_devices_are_set_up_only_where_they_belong() -> None:
    for accelerator, device in ((CPUAccelerator(), "cuda"), (CUDAAccelerator(), "cpu"), (MPSAccelerator(), "cpu")):
        with pytest.raises(MisconfigurationException, match=f"got {device}"):
            accelerator.setup_device(torch.device(device))


def test_the_processors_figures() -> None:
    pytest.importorskip("psutil")
    assert set(CPUAccelerator().get_device_stats("cpu")) == {"cpu_vm_percent", "cpu_percent", "cpu_swap_percent"}


def test_usable_gpus(gpus: Any, monkeypatch: Any) -> None:
    gpus(3)
    monkeypatch.setattr(torch, "tensor", lambda value, device: busy(device))

    def busy(device: torch.device) -> None:
        if device.index == 0:
            raise RuntimeError("busy")

    assert find_usable_cuda_devices() == [1, 2]
    assert find_usable_cuda_devices(1) == [1]
    assert find_usable_cuda_devices(0) == []
    with pytest.raises(RuntimeError, match="only 2 are currently available"):
        find_usable_cuda_devices(3)
    with pytest.raises(ValueError, match="only has 3"):
        find_usable_cuda_devices(4)


# -- accelerators of the user's own -----------------------------------------------------------------------------------


def toaster(base: type) -> Any:
    """A kind of hardware nobody has, computing on the CPU."""

    class Toaster(base):  # type: ignore[misc]
        def __init__(self, slots: int = 2) -> None:
            self.slots, self.asked = slots, []  # type: ignore[var-annotated]

        def setup(self, trainer: Any) -> None:
            self.asked.append("setup")

        def setup_device(self, device: Any) -> None:
            self.asked.append(f"setup_device {device}")

        def teardown(self) -> None:
            self.asked.append("teardown")

        def get_device_stats(self, device: Any) -> dict[str, Any]:
            return {"heat": 1.0}

        @staticmethod
        def parse_devices(devices: Any) -> Any:
            return devices

        @staticmethod
        def get_parallel_devices(devices: Any) -> Any:
            return [torch.device("cpu")] * devices

        @staticmethod
        def auto_device_count() -> int:
            return 1

        @staticmethod
        def is_available() -> bool:
            return True

        @staticmethod
        def name() -> str:
            return "toaster"

    return Toaster


def test_an_accelerator_of_the_users_own(differential: Any, lab: Any) -> None:
    def experiment(R: Any, observed: Any) -> Any:
        base = Accelerator if R is L else lightning.pytorch.accelerators.Accelerator
        accelerator = toaster(base)()
        made = R.Trainer(**{**lab.QUIET, "accelerator": accelerator}, max_epochs=1)
        module = lab.classifier(R)()
        made.fit(module, lab.loader())
        assert made.accelerator is accelerator
        return module, made, accelerator.asked

    assert differential.same(experiment).result == ["setup_device cpu", "setup", "teardown"]


def test_the_registry_of_accelerators(lab: Any) -> None:
    assert {"cpu", "cuda", "mps", "tpu"} <= AcceleratorRegistry.available_accelerators()
    AcceleratorRegistry.register("toaster", toaster(Accelerator), description="toasts", slots=4)
    try:
        assert trainer(lab, accelerator="toaster").accelerator.slots == 4
        assert AcceleratorRegistry["toaster"]["init_params"] == {"slots": 4}
        assert "toaster" in str(AcceleratorRegistry)
        with pytest.raises(MisconfigurationException, match="already present"):
            AcceleratorRegistry.register("toaster", toaster(Accelerator))
    finally:
        AcceleratorRegistry.remove("toaster")
    with pytest.raises(KeyError, match="'toaster' not found"):
        AcceleratorRegistry.get("toaster")
    with pytest.raises(TypeError, match="must be a str"):
        AcceleratorRegistry.register(3, CPUAccelerator)  # type: ignore[arg-type]


# -- strategies -------------------------------------------------------------------------------------------------------


def talkative(base: type, asked: list[str]) -> type:
    """A strategy that overrides what Lightning lets it, and leaves the work to its base."""

    def tell(name: str) -> Any:
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            asked.append(name)
            return getattr(super(made, self), name)(*args, **kwargs)

        return method

    names = (
        "connect setup_environment setup setup_optimizers setup_precision_plugin model_to_device batch_to_device"
        " training_step validation_step test_step predict_step backward pre_backward post_backward optimizer_step"
        " save_checkpoint lightning_module_state_dict optimizer_state teardown on_train_start on_train_end"
        " on_train_batch_start on_validation_start on_validation_end on_test_start on_test_end on_predict_start"
        " on_predict_end on_exception process_dataloader"
    )
    made = type("Talkative", (base,), {name: tell(name) for name in names.split()})
    return made


@pytest.mark.parametrize("manual", [False, True])
def test_a_strategy_of_the_users_own(differential: Any, lab: Any, manual: bool) -> None:
    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        if manual:
            self.manual_backward(loss)
            self.optimizers().step()
            self.optimizers().zero_grad()
        return loss

    def experiment(R: Any, observed: Any) -> Any:
        asked: list[str] = []
        base = SingleDeviceStrategy if R is L else lightning.pytorch.strategies.SingleDeviceStrategy
        methods = {"training_step": training_step, "test_step": lambda self, batch, batch_idx: None}
        module = lab.classifier(R, forward=lambda self, batch: self.net(batch[0]), **methods)()
        module.automatic_optimization = not manual
        made = R.Trainer(**lab.QUIET, strategy=talkative(base, asked)("cpu"), max_epochs=2)
        made.fit(module, lab.loader(), lab.loader(10, shuffle=False))
        made.save_checkpoint("kept.ckpt")
        made.test(module, lab.loader(8, shuffle=False))
        made.predict(module, lab.loader(8, shuffle=False))
        with pytest.raises(TypeError):
            made.fit(module, 3)
        return module, made, asked

    asked = differential.same(experiment).result
    assert {"backward", "optimizer_step", "on_exception", "process_dataloader"} <= set(asked)


@pytest.mark.parametrize("after", [False, True])
def test_a_strategy_decides_how_a_checkpoint_is_restored(lab: Any, tmp_path: Any, after: bool) -> None:
    asked: list[str] = []

    class Mine(SingleDeviceStrategy):
        restore_checkpoint_after_setup = property(lambda self: after)  # type: ignore[assignment]
        lightning_restore_optimizer = property(lambda self: not after)  # type: ignore[assignment]

        def setup(self, trainer: Any) -> None:
            asked.append("setup")
            super().setup(trainer)

        def load_checkpoint(self, checkpoint_path: Any, weights_only: Any = None) -> Any:
            asked.append("load")
            return super().load_checkpoint(checkpoint_path, weights_only)

        def load_model_state_dict(self, checkpoint: Any, strict: bool = True) -> None:
            asked.append("weights")
            super().load_model_state_dict(checkpoint, strict)

        def load_optimizer_state_dict(self, checkpoint: Any) -> None:
            asked.append("optimizers")

    module = lab.classifier(L)()
    made = trainer(lab, max_epochs=1)
    made.fit(module, lab.loader(), lab.loader())
    made.save_checkpoint(tmp_path / "kept.ckpt")
    trainer(lab, max_epochs=1, strategy=Mine()).fit(
        module, lab.loader(), lab.loader(), ckpt_path=tmp_path / "kept.ckpt"
    )
    assert asked == (["setup", "load", "weights"] if after else ["load", "weights", "setup", "optimizers"])


def test_what_a_strategy_holds(lab: Any) -> None:
    module = lab.classifier(L)()
    made = trainer(lab, max_epochs=1)
    assert made.lightning_module is None and made.model is None and made.optimizers == []
    made.fit(module, lab.loader())
    strategy = made.strategy
    assert isinstance(strategy, SingleDeviceStrategy) and isinstance(strategy, Strategy)
    assert strategy.lightning_module is strategy.model is made.lightning_module is made.model is module
    assert strategy.optimizers is made.optimizers and type(strategy.optimizers[0]) is torch.optim.Adam
    assert strategy.precision_plugin is made.precision_plugin
    assert isinstance(strategy.checkpoint_io, TorchCheckpointIO)
    assert strategy.lr_scheduler_configs is made.lr_scheduler_configs
    assert (strategy.global_rank, strategy.world_size, strategy.launcher) == (0, 1, None)
    assert strategy.broadcast("x") == "x" and strategy.reduce(torch.ones(1)) == 1
    assert strategy.all_gather(torch.ones(2)).tolist() == [1.0, 1.0]
    assert strategy.reduce_boolean_decision(True) is True
    assert module.optimizers().optimizer is strategy.optimizers[0]


def test_a_strategy_can_be_pickled() -> None:
    strategy = SingleDeviceStrategy("cpu")
    strategy.optimizers = [torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)]
    again = pickle.loads(pickle.dumps(strategy))
    assert type(again.optimizers[0]) is torch.optim.SGD
    assert again._lightning_optimizers[0].optimizer is again.optimizers[0]


def test_the_registry_of_strategies(lab: Any) -> None:
    assert "single_device" in StrategyRegistry.available_strategies()

    @StrategyRegistry.register("mine", description="on its own", device="meta")
    class Mine(SingleDeviceStrategy):
        pass

    try:
        assert trainer(lab, strategy="mine").strategy.root_device.type == "meta"
        with pytest.raises(ValueError, match="already present"):
            StrategyRegistry.register("mine", Mine)
        StrategyRegistry.register("mine", Mine, override=True)
        assert trainer(lab, strategy="mine").strategy.root_device.type == "cpu"
    finally:
        StrategyRegistry.remove("mine")


# -- plugins ----------------------------------------------------------------------------------------------------------

TWICE: dict[str, tuple[dict[str, Any], str]] = {
    "two precisions": ({"plugins": [Precision(), DoublePrecision()]}, "multiple values for Precision"),
    "two checkpoint ios": ({"plugins": [TorchCheckpointIO(), TorchCheckpointIO()]}, "multiple values for CheckpointIO"),
    "accelerator in the strategy": (
        {"accelerator": "cpu", "strategy": SingleDeviceStrategy(accelerator=CPUAccelerator())},
        "accelerator set through both",
    ),
    "precision in the strategy": (
        {"plugins": Precision(), "strategy": SingleDeviceStrategy(precision_plugin=HalfPrecision())},
        "precision set through both",
    ),
    "checkpoint io in the strategy": (
        {"plugins": [TorchCheckpointIO()], "strategy": SingleDeviceStrategy(checkpoint_io=TorchCheckpointIO())},
        "checkpoint_io set through both",
    ),
    "something else": ({"plugins": [3]}, "invalid type for plugin 3"),
}


@pytest.mark.parametrize("case", TWICE)
def test_what_is_given_twice(lab: Any, case: str) -> None:
    options, words = TWICE[case]
    with pytest.raises(MisconfigurationException, match=words):
        trainer(lab, **options)


def test_what_a_strategy_brings_along_is_used(lab: Any) -> None:
    io, accelerator = TorchCheckpointIO(), CPUAccelerator()
    strategy = SingleDeviceStrategy("cpu", accelerator, io, HalfPrecision())
    made = L.Trainer(**{**lab.QUIET, "accelerator": "auto"}, strategy=strategy)
    assert made.strategy is strategy and made.accelerator is accelerator
    assert made.precision == "16-true" and made.strategy.checkpoint_io is io


# -- torch's own settings ---------------------------------------------------------------------------------------------


@pytest.fixture
def settings(monkeypatch: Any) -> Any:
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    yield
    torch.use_deterministic_algorithms(before[0])
    torch.backends.cudnn.benchmark = before[1]


@pytest.mark.parametrize("deterministic", [None, True, False, "warn"])
@pytest.mark.parametrize("benchmark", [None, True, False])
def test_determinism(lab: Any, settings: Any, deterministic: Any, benchmark: Any) -> None:
    seen = []
    for R in (L, lightning):
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.benchmark = True
        os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
        R.Trainer(**lab.QUIET, deterministic=deterministic, benchmark=benchmark)
        seen.append(
            (
                torch.are_deterministic_algorithms_enabled(),
                torch.is_deterministic_algorithms_warn_only_enabled(),
                torch.backends.cudnn.benchmark,
                os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None),
            )
        )
    assert seen[0] == seen[1]

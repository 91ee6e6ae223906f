"""Precision: bit for bit what lightning computes, and what a user's own precision may change."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import lightning
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import torchlift
import torchlift.precision
from torchlift.plugins import DoublePrecision, HalfPrecision, MixedPrecision, Precision
from torchlift.utilities.exceptions import MisconfigurationException

NAMES = ["32-true", "64-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", 32, 64, "bf16", "16"]


def own(L: Any, name: str) -> Any:
    """A class of ``plugins`` of the runtime `L`."""
    return getattr(torchlift.precision if L is torchlift else lightning.pytorch.plugins, name)


def by_hand(self: Any, batch: Any, batch_idx: int) -> None:
    optimizer = self.optimizers()
    loss = self.loss(batch)
    self.manual_backward(loss)
    if batch_idx % 2:
        self.clip_gradients(optimizer, gradient_clip_val=0.3, gradient_clip_algorithm="norm")
        optimizer.step()
        optimizer.zero_grad()


def logs_its_dtype(self: Any, batch: Any, batch_idx: int) -> None:
    self.log("loss", self.loss(batch))
    self.log("bits", float(torch.zeros(1).element_size()))


FLAGS = st.fixed_dictionaries(
    {"precision": st.sampled_from(NAMES)},
    optional={
        "gradient_clip_val": st.sampled_from([0.05, 1]),
        "gradient_clip_algorithm": st.sampled_from(["norm", "value"]),
        "accumulate_grad_batches": st.sampled_from([2, 3]),
    },
)


@settings(max_examples=12)
@given(flags=FLAGS, manual=st.booleans(), listening=st.booleans())
def test_precisions(differential_of: Any, lab: Any, flags: Any, manual: bool, listening: bool) -> None:
    if manual:
        flags = {"precision": flags["precision"]}

    def experiment(L: Any, observed: Any) -> Any:
        methods = {"forward": lambda self, batch: self.net(batch[0]), "test_step": logs_its_dtype}
        cls = lab.classifier(L, **methods, **({"training_step": by_hand} if manual else {}))
        module = (lab.recording(cls, observed) if listening else cls)()
        module.automatic_optimization = not manual
        trainer = L.Trainer(**lab.QUIET, **flags, max_epochs=2)
        trainer.fit(module, lab.loader(), lab.loader(10, shuffle=False))
        tested = trainer.test(module, lab.loader(10, shuffle=False))
        predicted = trainer.predict(module, lab.loader(10, shuffle=False))
        return module, trainer, [trainer.precision, tested, predicted]

    with differential_of() as both:
        both.same(experiment)


@pytest.mark.parametrize("manual", [False, True])
@pytest.mark.parametrize("clip", [None, 0.05])
def test_a_scaler_on_the_cpu(differential: Any, lab: Any, manual: bool, clip: float | None) -> None:
    """float16 with a GradScaler, overflowing steps included: the same updates are left out, and the scale moves on."""

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        if manual:
            return by_hand(self, batch, batch_idx)
        return None if batch_idx == 4 else self.loss(batch)

    def experiment(L: Any, observed: Any) -> Any:
        scaler = torch.amp.GradScaler(device="cpu", init_scale=2.0**18, growth_interval=3)
        plugin = own(L, "MixedPrecision")("16-mixed", "cpu", scaler)
        module = lab.recording(lab.classifier(L, training_step=training_step), observed)()
        module.automatic_optimization = not manual
        trainer = L.Trainer(**lab.QUIET, plugins=plugin, max_epochs=2, gradient_clip_val=None if manual else clip)
        trainer.fit(module, lab.loader())
        trainer.save_checkpoint("kept.ckpt")
        kept = torch.load("kept.ckpt")["MixedPrecision"]
        return module, trainer, [scaler.get_scale(), kept]

    scale, _ = differential.same(experiment).result
    assert scale != 2.0**18


def test_a_scaler_resumes_where_it_was(lab: Any, tmp_path: Any) -> None:
    def fit(epochs: int, **options: Any) -> Any:
        torch.manual_seed(1)
        plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", growth_interval=2))
        module = lab.classifier(torchlift)()
        module.net[3] = nn.Identity()
        trainer = torchlift.Trainer(**lab.QUIET, plugins=[plugin], max_epochs=epochs)
        trainer.fit(module, lab.loader(shuffle=False), **options)
        return module, trainer

    fit(1)[1].save_checkpoint(tmp_path / "first.ckpt")
    resumed, straight = fit(2, ckpt_path=tmp_path / "first.ckpt"), fit(2)
    assert resumed[1].scaler.get_scale() == straight[1].scaler.get_scale()
    assert lab.told(resumed[0].state_dict()) == lab.told(straight[0].state_dict())


class Log(list):
    """What a user's own plugin was asked, in order."""


def make_precision(L: Any, asked: Log) -> Any:
    """A precision that overrides everything it can, and leaves the work to its base."""

    class Mine(own(L, "Precision")):
        def convert_module(self, module: Any) -> Any:
            asked.append("convert_module")
            return super().convert_module(module)

        def convert_input(self, data: Any) -> Any:
            asked.append("convert_input")
            return [data[0] * 2, data[1]]

        def connect(self, model: Any, optimizers: Any, lr_schedulers: Any) -> Any:
            asked.append(f"connect {len(optimizers)}")
            return super().connect(model, optimizers, lr_schedulers)

        @contextmanager
        def forward_context(self) -> Any:
            asked.append("enter")
            yield
            asked.append("exit")

        def pre_backward(self, tensor: Any, module: Any) -> Any:
            asked.append("pre_backward")
            return super().pre_backward(tensor * 3, module)

        def backward(self, tensor: Any, model: Any, optimizer: Any, *args: Any, **kwargs: Any) -> None:
            asked.append(f"backward {type(optimizer).__name__}")
            super().backward(tensor, model, optimizer, *args, **kwargs)

        def post_backward(self, tensor: Any, module: Any) -> Any:
            asked.append("post_backward")
            return super().post_backward(tensor, module)

        def optimizer_step(self, optimizer: Any, model: Any, closure: Any, **kwargs: Any) -> Any:
            asked.append(f"optimizer_step {type(optimizer).__name__}")
            return super().optimizer_step(optimizer, model=model, closure=closure, **kwargs)

        def clip_gradients(self, optimizer: Any, clip_val: Any = 0.0, gradient_clip_algorithm: Any = "norm") -> None:
            asked.append(f"clip {clip_val} {getattr(gradient_clip_algorithm, 'value', gradient_clip_algorithm)}")
            super().clip_gradients(optimizer, 0.1)

        def clip_grad_by_norm(self, optimizer: Any, clip_val: Any) -> None:
            asked.append(f"clip_grad_by_norm {clip_val}")
            super().clip_grad_by_norm(optimizer, clip_val)

        def teardown(self) -> None:
            asked.append("teardown")

        def state_dict(self) -> dict[str, Any]:
            return {"kept": 1}

        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            asked.append(f"on_save_checkpoint {checkpoint[type(self).__qualname__]}")

    return Mine()


@pytest.mark.parametrize("manual", [False, True])
@pytest.mark.parametrize("clip", [None, 0.5])
def test_a_precision_of_the_users_own(differential: Any, lab: Any, manual: bool, clip: float | None) -> None:
    def experiment(L: Any, observed: Any) -> Any:
        asked = Log()
        plugin = make_precision(L, asked)
        cls = lab.classifier(L, **({"training_step": by_hand} if manual else {}))
        module = lab.recording(cls, observed)()
        module.automatic_optimization = not manual
        clipping = {} if manual else {"gradient_clip_val": clip, "accumulate_grad_batches": 2}
        trainer = L.Trainer(**lab.QUIET, plugins=plugin, max_epochs=1, **clipping)
        trainer.fit(module, lab.loader(), lab.loader(10, shuffle=False))
        trainer.save_checkpoint("kept.ckpt")
        assert trainer.precision_plugin is plugin
        return module, trainer, list(asked)

    asked = differential.same(experiment).result
    assert "optimizer_step Adam" in asked and "teardown" in asked


def test_only_what_is_overridden_is_called(lab: Any) -> None:
    """One hook of the precision must not bring the others with it: the short way stays where it can."""

    class Scaled(Precision):
        def clip_grad_by_norm(self, optimizer: Any, clip_val: float) -> None:
            seen.append(clip_val)

    seen: list[float] = []
    trainer = torchlift.Trainer(**lab.QUIET, plugins=Scaled(), gradient_clip_val=0.25, max_steps=2)
    trainer.fit(lab.classifier(torchlift)(), lab.loader())
    run = trainer._run
    assert seen == [0.25, 0.25]
    assert run.strategy_step is None and run.strategy_backward is None


@pytest.mark.parametrize("name", NAMES)
def test_names_and_classes(lab: Any, name: Any, recwarn: Any) -> None:
    ours = torchlift.Trainer(**lab.QUIET, precision=name)
    said = {str(one.message) for one in recwarn}
    recwarn.clear()
    theirs = lightning.Trainer(**lab.QUIET, precision=name)
    assert (ours.precision, type(ours.precision_plugin).__name__, ours.scaler is None) == (
        theirs.precision,
        type(theirs.precision_plugin).__name__,
        theirs.scaler is None,
    )
    assert said == {str(one.message) for one in recwarn if "precision" in str(one.message)}


def test_wrong_precisions(lab: Any) -> None:
    for wrong in ("17", 1, "fp16", "16-Mixed"):
        with pytest.raises(ValueError, match=f"Precision {wrong!r} is invalid"):
            torchlift.Trainer(**lab.QUIET, precision=wrong)
    for name in ("transformer-engine", "transformer-engine-float16"):
        with pytest.raises(NotImplementedError, match="Transformer Engine"):
            torchlift.Trainer(**lab.QUIET, precision=name)
    with pytest.raises(ValueError, match="both `precision=16-true` and `plugins"):
        torchlift.Trainer(**lab.QUIET, precision="16-true", plugins=Precision())
    with pytest.raises(ValueError, match="must be '16-mixed' or 'bf16-mixed'"):
        MixedPrecision("16", "cpu")
    with pytest.raises(MisconfigurationException, match="does not use a scaler"):
        MixedPrecision("bf16-mixed", "cpu", torch.amp.GradScaler("cpu"))


def test_amp_does_not_go_with_lbfgs(lab: Any) -> None:
    module = lab.classifier(torchlift, configure_optimizers=lambda self: torch.optim.LBFGS(self.parameters()))()
    trainer = torchlift.Trainer(**lab.QUIET, plugins=MixedPrecision("16-mixed", "cpu"), max_steps=1)
    with pytest.raises(MisconfigurationException, match="LBFGS"):
        trainer.fit(module, lab.loader())


def test_a_fused_optimizer_cannot_be_clipped_while_scaled(lab: Any) -> None:
    module = lab.classifier(
        torchlift, configure_optimizers=lambda self: torch.optim.SGD(self.parameters(), 0.1, fused=True)
    )()
    trainer = torchlift.Trainer(
        **lab.QUIET, plugins=MixedPrecision("16-mixed", "cpu"), max_steps=1, gradient_clip_val=1.0
    )
    with pytest.raises(RuntimeError, match="does not allow for gradient clipping"):
        trainer.fit(module, lab.loader())


DTYPES = {"16-true": torch.float16, "bf16-true": torch.bfloat16, "64-true": torch.float64, "32-true": torch.float32}


@pytest.mark.parametrize("name", DTYPES)
def test_tensors_are_made_in_the_dtype(lab: Any, name: str) -> None:
    """In ``configure_model``, in a step and in ``init_module``; and nowhere else."""
    seen: dict[str, torch.dtype] = {}

    class Net(torchlift.LightningModule):
        def configure_model(self) -> None:
            self.net = nn.Linear(6, 3)
            seen["configure_model"] = self.net.weight.dtype

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            seen["batch"], seen["step"] = batch[0].dtype, torch.zeros(1).dtype
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def on_train_batch_end(self, *_: Any) -> None:
            seen["hook"] = torch.zeros(1).dtype

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    trainer = torchlift.Trainer(**lab.QUIET, precision=name, max_steps=1)
    trainer.fit(Net(), lab.loader())
    with trainer.init_module():
        made = nn.Linear(2, 2)
    assert seen == {"configure_model": DTYPES[name], "batch": DTYPES[name], "step": DTYPES[name], "hook": torch.float32}
    assert made.weight.dtype == DTYPES[name]
    assert torch.get_default_dtype() == torch.float32


def test_init_module_on_the_device_and_without_values(lab: Any) -> None:
    from torchlift.strategies import SingleDeviceStrategy

    trainer = torchlift.Trainer(**{**lab.QUIET, "accelerator": "auto"}, strategy=SingleDeviceStrategy("meta"))
    with trainer.init_module():
        assert nn.Linear(2, 2).weight.is_meta
    trainer = torchlift.Trainer(**lab.QUIET)
    before = torch.get_rng_state()
    with trainer.init_module(empty_init=True):
        nn.Linear(2, 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_dtype_comes_back_after_an_error() -> None:
    for precision in (HalfPrecision(), DoublePrecision()):
        for context in (precision.forward_context, precision.tensor_init_context, precision.module_init_context):
            with pytest.raises(KeyError), context():
                assert torch.get_default_dtype() is not torch.float32
                raise KeyError
            assert torch.get_default_dtype() is torch.float32


def test_doubling_keeps_complex_numbers_complex(lab: Any) -> None:
    module = nn.Module()
    module.register_buffer("phase", torch.tensor(1 + 2j))
    assert DoublePrecision().convert_module(module).phase == torch.tensor(1 + 2j)

"""What stands around the loop: hyperparameters, values that are shown or not, what else the script asks for."""

from __future__ import annotations

import re

import pytest

from torchlift_convert.eject.api import eject

from .conftest import DATA, QUIET, SGD, STEP, VAL, Ejects

LOGGED = """
def training_step(self, batch, batch_idx):
    x, y = batch
    loss = F.mse_loss(self(x), y)
    self.log("a/b", loss, on_epoch=True)
    if batch_idx == 2:
        self.log("cond", loss, on_epoch=True, on_step=False)
    self.log("n", batch_idx, prog_bar=True)
    return loss
"""


def main(trainer: str, *more: str) -> str:
    lines = ["model = LitModel()", f"trainer = L.Trainer({trainer})", "trainer.fit(model, train_loader, val_loader)"]
    return "\n".join([*lines, *more]) + "\n"


@pytest.mark.parametrize(
    "init", ["self.momentum = nn.Linear(2, 2)", "self.lr = lr", "self.lr = lr * 2\nprint(self.lr, self.hparams.lr)"]
)
def test_hyperparameters_and_attributes_of_one_name(ejects: Ejects, init: str) -> None:
    sgd = SGD.replace("0.9", "self.hparams.momentum")
    source = ejects.script(STEP, VAL, sgd, init=init, end="print(model.hparams.lr, model.hparams.momentum)")
    ejects.exact_script(source.replace("lr=0.05)", "lr=0.05, momentum=0.5)", 1))


def test_hyperparameters_that_come_from_nowhere_are_refused(refuses: Ejects) -> None:
    refuses.refused_script("TL805", refuses.script(STEP, SGD).replace("lr=0.05)", "**options)", 1))


def test_a_value_that_is_not_shown_is_still_computed(ejects: Ejects) -> None:
    hooks = """
    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.mse_loss(self(x), y)
        self.log("a", self(x).mean())
        self.log("b", torch.rand(1).sum())
        return loss
    """
    ejects.exact(hooks, VAL, SGD)


@pytest.mark.parametrize("trainer", ["max_epochs=3", "max_epochs=3, check_val_every_n_epoch=2", "max_steps=8"])
def test_values_are_shown_whether_there_are_any_or_not(refuses: Ejects, trainer: str) -> None:
    shown = QUIET.replace("logger=False, ", "").replace("enable_progress_bar=False, ", "")
    result = refuses.exact(LOGGED, VAL, SGD, main=main(f"{trainer}, {shown}"))
    assert result.code is not None
    assert re.search(r"epoch \{epoch\}: a/b \{\w+:.4f\}, cond \{\w+:.4f\}, n \{\w+:.4f\}, val_loss", result.code)


def test_values_of_the_bar_are_shown_without_a_logger(refuses: Ejects) -> None:
    result = refuses.exact(
        LOGGED, VAL, SGD, main=main("max_epochs=3, " + QUIET.replace("enable_progress_bar=False, ", ""))
    )
    assert result.code is not None and "a_b" not in result.code and "n {" in result.code


def test_shown_means_are_those_of_lightning(refuses: Ejects, capsys: pytest.CaptureFixture[str]) -> None:
    """The mean over the samples, not over the batches."""
    shown = QUIET.replace("logger=False, ", "")
    hook = "def on_train_epoch_end(self):\n    print('mean', sum(self.sums) / 16)\n    self.sums = []"
    val = VAL + "    self.sums.append(loss.item() * len(x))"
    code = eject(
        refuses.script(
            STEP, val, SGD, hook, init="self.sums = []", main=main(f"max_epochs=1, num_sanity_val_steps=0, {shown}")
        )
    ).code
    assert code is not None
    exec(compile(code, "train.py", "exec"), {"__name__": "__main__"})
    said = capsys.readouterr()
    (mean,) = re.findall(r"mean ([\d.]+)", said.out)
    (value,) = re.findall(r"val_loss ([\d.]+)", said.err)
    assert abs(float(mean) - float(value)) < 1e-4


def test_loaders_of_the_module_itself(ejects: Ejects) -> None:
    loaders = """
    def train_dataloader(self):
        return DataLoader(TensorDataset(inputs, targets), batch_size=8, shuffle=True)

    def val_dataloader(self):
        return DataLoader(TensorDataset(inputs, targets), batch_size=8)
    """
    ejects.exact(STEP, VAL, SGD, loaders, main=f"model = LitModel()\nL.Trainer(max_epochs=2, {QUIET}).fit(model)\n")


def test_attributes_that_others_look_up_stay_attributes(ejects: Ejects) -> None:
    hooks = """
    def on_train_epoch_start(self):
        self.seen = 3
        self.own = 4

    def on_train_epoch_end(self):
        print(getattr(self, "own"))
    """
    ejects.exact(STEP, VAL, SGD, hooks, end="print(model.seen)")


@pytest.mark.parametrize(
    "end",
    [
        "print(isinstance(model, L.LightningModule))  # here",
        "def show(m):\n    print(m.current_epoch)  # here",
        "L.pytorch.utilities.rank_zero_info('done')  # here",
    ],
)
def test_other_uses_of_lightning_are_refused(refuses: Ejects, end: str) -> None:
    refuses.refused("TL805", STEP, VAL, SGD, end=end)


@pytest.mark.parametrize("line", ["L.seed_everything()", "L.seed_everything(1, workers=True)\nnum_workers = 2"])
def test_seeds_that_depend_on_more_are_refused(refuses: Ejects, line: str) -> None:
    refuses.refused("TL806", STEP, SGD, data=f"{DATA}{line}\n")


def test_a_model_that_may_be_another_one_is_refused(refuses: Ejects) -> None:
    refuses.refused(
        "TL801", STEP, SGD, main="model = LitModel()\n" + main(QUIET).replace("fit(model,", "fit(model,  # here\n")
    )

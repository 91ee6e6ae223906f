"""Hooks in the loop: their moments, their names, what they leave behind; and those that cannot stand there."""

from __future__ import annotations

import pytest

from .conftest import DATA, QUIET, SGD, STEP, VAL, Ejects

FIT = f"model = LitModel()\ntrainer = L.Trainer(max_epochs=3, {QUIET})\n"
RETURNS = "def training_step(self, batch, batch_idx):\n    x, y = batch\n    return {}"
MANUAL = "self.automatic_optimization = False"


def test_every_hook_has_its_moment(ejects: Ejects) -> None:
    hooks = """
    def on_fit_start(self):
        print("fit start")

    def on_train_start(self):
        print("train start", self.current_epoch, self.global_step)

    def on_train_epoch_start(self):
        print("epoch start", self.current_epoch)
        self.seen = []

    def on_train_batch_start(self, batch, batch_idx):
        print("batch", batch_idx, len(batch[0]))

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.mse_loss(self(x), y)
        self.seen.append(loss.item())
        print(self.global_step)
        return loss

    def on_before_zero_grad(self, optimizer):
        print("zero", sum(p.grad is not None for p in self.parameters()))

    def on_after_backward(self):
        print("grad", sum(p.grad.norm().item() for p in self.parameters()))

    def on_before_optimizer_step(self, optimizer):
        print("step", optimizer.param_groups[0]["lr"])

    def on_train_batch_end(self, outputs, batch, batch_idx):
        print("end", outputs["loss"].item(), batch_idx, self.global_step)

    def on_train_epoch_end(self):
        print("epoch end", sum(self.seen))

    def on_validation_start(self):
        print("val start", self.training)

    def on_validation_epoch_end(self):
        print("val epoch end", self(inputs).sum().item())

    def on_validation_end(self):
        print("val end")

    def on_train_end(self):
        print("train end")

    def on_fit_end(self):
        print("fit end")
    """
    configure = """
    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.05)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]
    """
    ejects.exact(hooks, VAL, configure, trainer="max_epochs=2, num_sanity_val_steps=0")


def test_results_that_are_collected(ejects: Ejects) -> None:
    val = """
    def validation_step(self, batch, batch_idx):
        x, y = batch
        loss = F.mse_loss(self(x), y)
        self.outs.append(loss)
        return loss

    def on_validation_epoch_end(self):
        self.log("val_loss", torch.stack(self.outs).mean())
        self.outs.clear()
    """
    configure = """
    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.05)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.3)
        return {"optimizer": optimizer, "lr_scheduler": scheduler, "monitor": "val_loss"}
    """
    ejects.exact(STEP, val, configure, init="self.outs = []")


def test_names_of_the_hooks_and_of_the_script_stay_apart(ejects: Ejects) -> None:
    hooks = """
    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        model = self(inputs)
        epoch = F.mse_loss(model, targets)
        self.last = epoch.item()
        return epoch

    def on_train_epoch_end(self):
        print(self.last, len(inputs), self.helper(2))

    def helper(self, epoch):
        return epoch + self.hparams.lr
    """
    ejects.exact(hooks, SGD, end="print(inputs.sum().item(), model.last)")


@pytest.mark.parametrize(
    "main",
    [
        FIT + "trainer.fit(model, train_loader)\n",
        FIT + "model.eval()\ntrainer.fit(model, train_loader, val_loader)\nprint(model.training)\n",
        f"L.Trainer(max_epochs=2, {QUIET}).fit(LitModel(0.1), train_loader, val_loader)\n",
        "for k in range(2):\n    " + FIT.replace("\n", "\n    ") + "trainer.fit(model, train_loader, val_loader)\n",
        FIT + "trainer.validate(model, val_loader)\ntrainer.fit(model, train_loader, val_loader)\n"
        "trainer.test(model, dataloaders=val_loader)\nprint(model.training, model.hparams.lr, model.device)\n",
    ],
    ids=["no validation", "evaluation mode", "no names", "folds", "all entries"],
)
def test_where_and_how_the_trainer_is_called(ejects: Ejects, main: str) -> None:
    test = "def test_step(self, batch, batch_idx):\n    print(self(batch[0]).sum().item(), self.training)"
    ejects.exact(STEP, VAL, test, SGD, main=main)


@pytest.mark.parametrize(
    "init",
    [
        "self.back = nn.Dropout(0.5).eval()\n{}",
        "self.back = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))\nself.back.eval()\n{}",
    ],
)
def test_parts_in_evaluation_mode_stay_so(ejects: Ejects, init: str) -> None:
    source = ejects.script(STEP, VAL, SGD, init=init.format("")).replace("self.net(x)", "self.net(self.back(x))")
    ejects.exact_script(source)


def test_a_data_module_and_seed_everything(ejects: Ejects) -> None:
    data = """
class Data(L.LightningDataModule):
    def __init__(self, batch_size=8):
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage=None):
        x = torch.randn(60, 4)
        full = TensorDataset(x, x.sum(1, keepdim=True))
        self.train, self.val = random_split(full, [44, 16])

    def train_dataloader(self):
        return DataLoader(self.train, batch_size=self.hparams.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.val, batch_size=self.hparams.batch_size)
"""
    main = f"""
    L.seed_everything(7)

    def main():
        dm = Data(5)
        trainer = L.Trainer(max_epochs=2, {QUIET.replace('"cpu"', '"auto"')}, devices=1)
        model = LitModel(lr=0.1)
        trainer.fit(model, datamodule=dm)
        print(next(model.parameters()).device)

    main()
    """
    result = ejects.exact(STEP, VAL, SGD, data=data, main=main)
    assert result.code is not None and "hparams" not in result.code


def test_training_stops_when_a_hook_says_so(ejects: Ejects) -> None:
    stop = """
    def on_validation_epoch_end(self):
        if self.current_epoch == 1:
            self.trainer.should_stop = True

    def on_train_epoch_end(self):
        print("epoch", self.current_epoch)
    """
    ejects.exact(STEP, VAL, SGD, stop, trainer="max_epochs=5, num_sanity_val_steps=0")


def test_how_many_steps_there_will_be(ejects: Ejects) -> None:
    configure = """
    def configure_optimizers(self):
        o = torch.optim.SGD(self.parameters(), lr=0.05)
        s = torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=self.trainer.estimated_stepping_batches)
        return [o], [{"scheduler": s, "interval": "step"}]
    """
    ejects.exact(STEP, configure)


def test_two_networks_in_turn(ejects: Ejects) -> None:
    step = """
    def training_step(self, batch, batch_idx):
        x, y = batch
        g_opt, d_opt = self.optimizers()
        fake = self.net(x)
        g_loss = self.judge(fake).mean()
        g_opt.zero_grad()
        self.manual_backward(g_loss)
        g_opt.step()
        d_loss = self.judge(y).mean() - self.judge(fake.detach()).mean()
        d_opt.zero_grad()
        self.manual_backward(d_loss)
        d_opt.step()
        self.log_dict({"g": g_loss, "d": d_loss}, prog_bar=True)

    def configure_optimizers(self):
        g = torch.optim.Adam(self.net.parameters(), lr=0.01)
        return g, torch.optim.Adam(self.judge.parameters(), lr=0.01)
    """
    ejects.exact(step, init=f"self.judge = nn.Linear(1, 1)\n{MANUAL}")


def test_metric_objects_begin_anew_each_epoch(ejects: Ejects) -> None:
    hooks = """
    def training_step(self, batch, batch_idx):
        x, y = batch
        out = self(x)
        self.mae(out, y)
        self.log("mae", self.mae, on_epoch=True)
        return F.mse_loss(out, y)

    def on_train_epoch_end(self):
        print(self.mae.compute().item())
    """
    source = "import torchmetrics\n" + ejects.script(hooks, SGD, init="self.mae = torchmetrics.MeanAbsoluteError()")
    ejects.exact_script(source)


REFUSED = {
    "TL805": [
        "def training_step(self, batch, batch_idx):\n    if batch_idx == 1:\n        return None  # here\n    return 1",
        RETURNS.format("self.loss_of(x, y)")
        + "\ndef loss_of(self, x, y):\n    self.log('a', x.sum())  # here\n    return y.sum()",
        STEP + "def optimizer_step(self, *args, **kwargs):  # here\n    super().optimizer_step(*args, **kwargs)",
        STEP + "def on_train_batch_end(self, outputs, batch, batch_idx):\n    print(outputs)  # here",
        STEP + "def on_train_batch_end(self, outputs, batch, batch_idx):\n    self.trainer.should_stop = True  # here",
        STEP + "def on_train_epoch_end(self):\n    self.logger.experiment.flush()  # here",
        STEP + "def on_train_epoch_end(self):\n    print(self.trainer.callback_metrics)  # here",
    ],
    "TL807": [
        RETURNS.format("y.sum()")
        + "\ndef on_train_epoch_end(self):\n    self.log(f'a{self.current_epoch}', 1.0)  # here",
        RETURNS.format("y.sum()") + "\ndef on_train_epoch_end(self):\n    self.log_dict(self.table)  # here",
    ],
    "TL811": [STEP + "def on_train_epoch_start(self):\n    self.noise = torch.randn(3)  # here"],
}


@pytest.mark.parametrize("code,hooks", [(c, h) for c, several in REFUSED.items() for h in several])
def test_what_cannot_stand_in_a_loop_is_refused(refuses: Ejects, code: str, hooks: str) -> None:
    refuses.refused(code, hooks, SGD)


@pytest.mark.parametrize(
    "end,code",
    [
        ("print(trainer.callback_metrics)  # here", "TL805"),
        ("trainer.save_checkpoint('x.ckpt')  # here", "TL805"),
        ("other = LitModel.load_from_checkpoint('x.ckpt')  # here", "TL805"),
        ("print(model.hparams)  # here", "TL805"),
        ("trainer.fit(model, train_loader)  # here", "TL803"),
        ("results = trainer.test(model, val_loader)  # here", "TL803"),
        ("trainer.test(dataloaders=val_loader)  # here", "TL803"),
        ("trainer.test(model, val_loader, ckpt_path='best')  # here", "TL806"),
    ],
)
def test_what_only_a_trainer_answers_is_refused(refuses: Ejects, end: str, code: str) -> None:
    refuses.refused(code, STEP, VAL, SGD, end=end)


@pytest.mark.parametrize("line", ["print(loss.item())", "self.count += 1", "counts.append(1)", "torch.save(loss, 'x')"])
def test_validation_that_a_sanity_check_repeats_is_refused(refuses: Ejects, line: str) -> None:
    refuses.refused("TL809", STEP, VAL + f"    {line}  # here", SGD, init="self.count = 0", data=DATA + "counts = []\n")


@pytest.mark.parametrize(
    "loaders",
    [
        "[train_loader, val_loader]",
        "{'a': train_loader}",
        "make_loader()",
    ],
)
def test_other_loaders_are_refused(refuses: Ejects, loaders: str) -> None:
    refuses.refused("TL811", STEP, SGD, main=f"{FIT}trainer.fit(model, {loaders})  # here\n")


def test_data_without_a_length_is_refused(refuses: Ejects) -> None:
    refuses.refused("TL811", STEP, SGD, data=DATA + "class Stream(IterableDataset):  # here\n    pass\n")

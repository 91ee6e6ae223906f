"""Each form in which ``configure_optimizers`` answers."""

from __future__ import annotations

import pytest

from .conftest import QUIET, SGD, STEP, VAL, Ejects

ANSWERS = {
    "optimizer": "return torch.optim.Adam(self.parameters(), lr=0.01)",
    "name": "opt = torch.optim.AdamW(self.net.parameters(), lr=0.01)\n    return opt",
    "list": "return [torch.optim.SGD(self.parameters(), lr=0.05)]",
    "lists": """opt = torch.optim.SGD(self.parameters(), lr=0.05)
    sched = torch.optim.lr_scheduler.StepLR(opt, step_size=1, gamma=0.5)
    return [opt], [sched]""",
    "dictionary": """optimizer = torch.optim.SGD(self.parameters(), lr=0.05)
    return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)}""",
    "step": """optimizer = torch.optim.SGD(self.parameters(), lr=0.05)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=18)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}""",
    "frequency": """optimizer = torch.optim.SGD(self.parameters(), lr=0.05)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    return [optimizer], [{"scheduler": scheduler, "interval": "epoch", "frequency": 2}]""",
    "plateau": """optimizer = torch.optim.SGD(self.parameters(), lr=0.05)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.3)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}""",
    "plateau of training": """optimizer = torch.optim.SGD(self.parameters(), lr=0.05)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.3)
    return {"optimizer": optimizer, "lr_scheduler": scheduler, "monitor": "train_loss"}""",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_every_form_trains_alike(ejects: Ejects, answer: str) -> None:
    ejects.exact(STEP, VAL, f"def configure_optimizers(self):\n    {answer}")


def test_optimizers_that_the_module_holds(ejects: Ejects) -> None:
    init = "self.opt = torch.optim.SGD(self.net.parameters(), lr=0.05)"
    result = ejects.exact(STEP, "def configure_optimizers(self):\n    return self.opt", init=init)
    assert result.code is not None and "model.opt.step()" in result.code


def test_schedulers_in_manual_optimization(ejects: Ejects) -> None:
    step = """
    def training_step(self, batch, batch_idx):
        opt = self.optimizers()
        sch = self.lr_schedulers()
        x, y = batch
        loss = F.mse_loss(self(x), y)
        opt.zero_grad()
        self.manual_backward(loss)
        opt.step()
        if (batch_idx + 1) % 2 == 0:
            sch.step()
    """
    ejects.exact(
        step,
        VAL,
        f"def configure_optimizers(self):\n    {ANSWERS['lists']}",
        init="self.automatic_optimization = False",
    )


def test_gradients_wait_for_several_batches_by_hand(ejects: Ejects) -> None:
    step = """
    def training_step(self, batch, batch_idx):
        opt = self.optimizers()
        x, y = batch
        self.manual_backward(F.mse_loss(self(x), y))
        if (batch_idx + 1) % 4 == 0:
            opt.step()
            opt.zero_grad()
    """
    ejects.exact(step, VAL, SGD, init="self.automatic_optimization = False")


@pytest.mark.parametrize(
    "answer",
    [
        "return torch.optim.LBFGS(self.parameters())  # here",
        "return make_optimizer(self)  # here",
    ],
)
def test_an_optimizer_that_may_want_a_closure_is_refused(refuses: Ejects, answer: str) -> None:
    refuses.refused("TL808", STEP, f"def configure_optimizers(self):\n    {answer}")


def test_an_answer_that_is_made_elsewhere_is_refused(refuses: Ejects) -> None:
    answer = "made = {'optimizer': torch.optim.SGD(self.parameters(), 0.1)}\n    return made  # here"
    refuses.refused("TL806", STEP, f"def configure_optimizers(self):\n    {answer}")


def test_optimizers_that_are_handed_in(ejects: Ejects) -> None:
    module = "def configure_optimizers(self):\n    return [self.opt], [self.sched]"
    main = f"""
    opt = torch.optim.SGD(net.parameters(), lr=0.05)
    model = LitModel(opt, torch.optim.lr_scheduler.StepLR(opt, 1, 0.5))
    L.Trainer(max_epochs=3, {QUIET}).fit(model, train_loader, val_loader)
    """
    source = ejects.script(STEP, module, init="self.net = net\nself.opt = opt\nself.sched = sched", main=main)
    source = source.replace("lr=0.05):", "opt, sched):").replace("        self.save_hyperparameters()\n", "", 1)
    ejects.exact_script(source.replace("class LitModel", "net = nn.Linear(4, 1)\n\n\nclass LitModel", 1))

# Iris with tiny batches: gradients of several batches are added up before each step.
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_iris
from torch.utils.data import DataLoader, TensorDataset, random_split
import torchlift as L

SEED = 17
N_EPOCHS = 15
MICRO_BATCH = 8
ACCUM_STEPS = 4


class IrisNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(4, 16)
        self.out = nn.Linear(16, 3)

    def forward(self, x):
        return self.out(torch.tanh(self.hidden(x)))


def load_data():
    iris = load_iris()
    x = torch.tensor(iris.data, dtype=torch.float32)
    x = (x - x.mean(0)) / x.std(0)
    y = torch.tensor(iris.target, dtype=torch.long)
    return random_split(TensorDataset(x, y), [120, 30])


def evaluate(model, loader):
    model.eval()
    n_right, n_all = 0, 0
    with torch.no_grad():
        for x, y in loader:
            n_right += (model(x).argmax(dim=-1) == y).sum().item()
            n_all += y.numel()
    return n_right / n_all


class IrisDataModule(L.LightningDataModule):
    def setup(self, stage):
        if hasattr(self, "train_set"):
            return
        self.train_set, self.held_out = load_data()

    def train_dataloader(self):
        return DataLoader(self.train_set, batch_size=MICRO_BATCH, shuffle=True)

    def test_dataloader(self):
        return DataLoader(self.held_out, batch_size=30)


class LitIrisNet(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False  # backward, zero_grad or step depends on a condition
        self.model = IrisNet()

    def forward(self, x):
        return self.model(x)

    def configure_optimizers(self):
        return torch.optim.SGD(self.model.parameters(), lr=0.2, momentum=0.5)

    def on_train_epoch_start(self):
        self.model.train()
        self.optimizers().zero_grad()
        self.epoch_loss = 0.0

    def training_step(self, batch, batch_idx):
        x, y = batch
        optimizer = self.optimizers()
        loss = F.cross_entropy(self.model(x), y)
        self.epoch_loss += loss.item()
        loss = loss / ACCUM_STEPS
        self.manual_backward(loss)

        # Step every ACCUM_STEPS batches, and once more for what is left of the epoch
        if (batch_idx + 1) % ACCUM_STEPS == 0 or (batch_idx + 1) == len(self.trainer.train_dataloader):
            optimizer.step()
            optimizer.zero_grad()
        self.log("loss", loss, prog_bar=True)

    def on_train_epoch_end(self):
        if self.epoch % 5 == 0:
            acc = evaluate(self.model, self.trainer.datamodule.test_dataloader())
            print(
                "epoch %d: loss %.4f, accuracy %.3f"
                % (self.epoch, self.epoch_loss / len(self.trainer.train_dataloader), acc)
            )

    @property
    def epoch(self):
        return self.current_epoch + 1


def fit():
    torch.manual_seed(SEED)

    data = IrisDataModule()
    data.setup("fit")  # the data is made here, as it was
    lit_model = LitIrisNet()

    trainer = L.Trainer(max_epochs=N_EPOCHS, accelerator="cpu", devices=1, enable_checkpointing=False, logger=False)
    trainer.fit(lit_model, datamodule=data)
    model = lit_model.model
    return model


if __name__ == '__main__':
    fit()

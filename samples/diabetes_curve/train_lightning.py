import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn as nn
import torchlift as L
from sklearn.datasets import load_diabetes

np.random.seed(3)
torch.manual_seed(3)


class DiabetesDataModule(L.LightningDataModule):
    def setup(self, stage):
        if hasattr(self, "x_train"):
            return
        # body mass index -> progression of the disease one year later
        bunch = load_diabetes()
        order = np.argsort(bunch.data[:, 2])
        self.x_train = bunch.data[order, 2:3].astype(np.float32) * 20
        self.y_train = (bunch.target[order, None] / 100).astype(np.float32)

        self.inputs = torch.from_numpy(self.x_train)
        self.targets = torch.from_numpy(self.y_train)

    def train_dataloader(self):
        # one batch, the whole set; its own generator leaves the global random state alone
        return torch.utils.data.DataLoader([(self.inputs, self.targets)], batch_size=None, generator=torch.Generator())


class LitModel(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(1, 24),
            nn.Tanh(),
            nn.Linear(24, 1),
        )
        self.loss_func = nn.MSELoss()
        self.history = []

    def forward(self, inputs):
        return self.net(inputs)

    def configure_optimizers(self):
        return torch.optim.SGD(self.net.parameters(), lr=0.05, momentum=0.9)

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        prediction = self.net(inputs)
        loss = self.loss_func(prediction, targets)

        self.history.append(loss.item())
        if self.current_epoch % 50 == 0:
            print(f"step {self.current_epoch:3d}  loss {loss.item():.5f}")
        self.log("train_loss", loss, prog_bar=True)
        # clear gradients for this step
        # backpropagation
        # apply gradients
        return loss


data = DiabetesDataModule()
data.setup("fit")  # the data is made here, as it was

model = LitModel()
trainer = L.Trainer(max_epochs=300, accelerator="cpu", devices=1, enable_checkpointing=False, logger=False)
trainer.fit(model, datamodule=data)
net = model.net

# Draw what was learned
fitted = net(data.inputs).detach().numpy()
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
left.plot(data.x_train, data.y_train, "k.", alpha=0.4, label="patients")
left.plot(data.x_train, fitted, "r-", label="network")
left.legend()
right.plot(model.history)
right.set_xlabel("step")
right.set_ylabel("loss")
fig.savefig("curve.png", metadata={"Software": None})
print(f"final loss {model.history[-1]:.5f}, best {min(model.history):.5f} at step {int(np.argmin(model.history))}")

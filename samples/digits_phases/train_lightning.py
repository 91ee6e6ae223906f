"""Fine-tune a small network, training and validation in one loop over phases, and keep the best weights."""

import copy

import torch
import torch.nn as nn
import torch.optim as optim
from sklearn.datasets import load_digits
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, TensorDataset
import torchlift as L

torch.manual_seed(3)
digits = load_digits()
images = torch.tensor(digits.data / 16.0, dtype=torch.float32)
labels = torch.tensor(digits.target)
image_datasets = {
    "train": TensorDataset(images[:1400], labels[:1400]),
    "val": TensorDataset(images[1400:], labels[1400:]),
}
dataloaders = {x: DataLoader(image_datasets[x], batch_size=50, shuffle=True) for x in ["train", "val"]}
dataset_sizes = {x: len(image_datasets[x]) for x in ["train", "val"]}
device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")


class LitModel(L.LightningModule):
    def __init__(self, model, optimizer, scheduler, num_epochs, criterion, best_model_wts):
        super().__init__()
        self.save_hyperparameters(ignore=["model", "optimizer", "scheduler", "criterion", "best_model_wts"])
        self.model = model
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.criterion = criterion
        self.best_model_wts = best_model_wts
        self.best_acc = 0.0

    def forward(self, inputs):
        return self.model(inputs)

    def configure_optimizers(self):
        return [self.optimizer], [self.scheduler]

    def on_train_epoch_start(self):
        print(f"Epoch {self.current_epoch}/{self.hparams.num_epochs - 1}")
        print("-" * 10)
        # Each epoch has a training and validation phase
        # Set model to training mode
        # Set model to evaluate mode

        self.running_loss = 0.0
        self.running_corrects = 0

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        # Iterate over data.
        # forward; track history if only in train
        outputs = self.model(inputs)
        _, preds = torch.max(outputs, 1)
        loss = self.criterion(outputs, targets)
        # backward + optimize only if in training phase

        # statistics
        self.running_loss += loss.item() * inputs.size(0)
        self.running_corrects += torch.sum(preds == targets.data)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_validation_epoch_start(self):
        epoch_loss = self.running_loss / dataset_sizes['train']
        epoch_acc = self.running_corrects.double() / dataset_sizes['train']
        print('train', f"loss: {epoch_loss:.4f} acc: {epoch_acc:.4f}")

        self.running_loss = 0.0
        self.running_corrects = 0

    def validation_step(self, batch, batch_idx):
        inputs, targets = batch
        outputs = self.model(inputs)
        _, preds = torch.max(outputs, 1)
        loss = self.criterion(outputs, targets)

        # statistics
        self.running_loss += loss.item() * inputs.size(0)
        self.running_corrects += torch.sum(preds == targets.data)

    def on_validation_epoch_end(self):
        epoch_loss = self.running_loss / dataset_sizes['val']
        epoch_acc = self.running_corrects.double() / dataset_sizes['val']
        print('val', f"loss: {epoch_loss:.4f} acc: {epoch_acc:.4f}")

        # deep copy the model
        if epoch_acc > self.best_acc:
            self.best_acc = epoch_acc
            self.best_model_wts = copy.deepcopy(self.model.state_dict())


def train_model(model, criterion, optimizer, scheduler, num_epochs=3):
    best_model_wts = copy.deepcopy(model.state_dict())

    lit_model = LitModel(model, optimizer, scheduler, num_epochs, criterion, best_model_wts)

    trainer = L.Trainer(
        max_epochs=num_epochs,
        accelerator="gpu" if torch.cuda.is_available() else "cpu",
        devices=1,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        logger=False,
    )
    trainer.fit(lit_model, dataloaders['train'], dataloaders['val'])
    lit_model.to(device)  # the Trainer has moved it to the CPU
    model.eval()

    print(f"Best val Acc: {lit_model.best_acc:4f}")
    model.load_state_dict(lit_model.best_model_wts)
    return model


net = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Dropout(0.2), nn.Linear(48, 10)).to(device)
criterion = nn.CrossEntropyLoss()
optimizer_ft = optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
# Decay LR by a factor of 0.1 every 2 epochs
exp_lr_scheduler = lr_scheduler.StepLR(optimizer_ft, step_size=2, gamma=0.1)
net = train_model(net, criterion, optimizer_ft, exp_lr_scheduler, num_epochs=3)
torch.save(net.state_dict(), "best.pt")

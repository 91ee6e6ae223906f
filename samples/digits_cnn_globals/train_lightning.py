'''Train a small CNN on 8x8 digits.'''
import argparse
import os

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset
import torchlift as L

parser = argparse.ArgumentParser(description='Digits CNN training')
parser.add_argument('--lr', default=0.05, type=float, help='learning rate')
parser.add_argument('--epochs', default=4, type=int)
parser.add_argument('--resume', '-r', action='store_true', help='resume from checkpoint')
args = parser.parse_args()

best_acc = 0  # best test accuracy
start_epoch = 0  # start from epoch 0 or last checkpoint epoch
torch.manual_seed(11)

# Data
print('==> Preparing data..')


class DigitsDataModule(L.LightningDataModule):
    def setup(self, stage):
        digits = load_digits()
        x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
        y = torch.tensor(digits.target)
        self.trainset = TensorDataset(x[:1440], y[:1440])
        self.testset = TensorDataset(x[1440:], y[1440:])

    def train_dataloader(self):
        return DataLoader(self.trainset, batch_size=96, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.testset, batch_size=100, shuffle=False)


data = DigitsDataModule()

# Model
print('==> Building model..')


class SmallCNN(nn.Module):
    def __init__(self, width=12):
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width * 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width * 2)
        self.linear = nn.Linear(width * 2 * 4, 10)

    def forward(self, x):
        out = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        out = F.max_pool2d(F.relu(self.bn2(self.conv2(out))), 2)
        out = out.view(out.size(0), -1)
        return self.linear(out)


class LitSmallCNN(L.LightningModule):
    def __init__(self, lr):
        super().__init__()
        self.save_hyperparameters()
        self.net = SmallCNN()
        self.criterion = nn.CrossEntropyLoss()

    def forward(self, inputs):
        return self.net(inputs)

    def configure_optimizers(self):
        optimizer = optim.SGD(self.net.parameters(), lr=self.hparams.lr, momentum=0.9, weight_decay=5e-4)
        scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
        return [optimizer], [scheduler]

    def on_train_epoch_start(self):
        # Training
        print('\nEpoch: %d' % self.epoch)
        self.train_loss = 0
        self.correct = 0
        self.total = 0

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        outputs = self.net(inputs)
        loss = self.criterion(outputs, targets)

        self.train_loss += loss.item()
        _, predicted = outputs.max(1)
        self.total += targets.size(0)
        self.correct += predicted.eq(targets).sum().item()
        self.batch_idx = batch_idx
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_validation_epoch_start(self):
        print(
            'Loss: %.3f | Acc: %.3f%% (%d/%d)'
            % (self.train_loss / (self.batch_idx + 1), 100.0 * self.correct / self.total, self.correct, self.total)
        )
        self.test_loss = 0
        self.test_correct = 0
        self.test_total = 0

    def validation_step(self, batch, batch_idx):
        inputs, targets = batch
        outputs = self.net(inputs)
        loss = self.criterion(outputs, targets)

        self.test_loss += loss.item()
        _, predicted = outputs.max(1)
        self.test_total += targets.size(0)
        self.test_correct += predicted.eq(targets).sum().item()
        self.test_batch_idx = batch_idx

    def on_validation_epoch_end(self):
        print(
            'Test loss: %.3f | Acc: %.3f%% (%d/%d)'
            % (
                self.test_loss / (self.test_batch_idx + 1),
                100.0 * self.test_correct / self.test_total,
                self.test_correct,
                self.test_total,
            )
        )

        # Save checkpoint.
        acc = 100.0 * self.test_correct / self.test_total
        if acc > self.best_acc:
            print('Saving..')
            state = {
                'net': self.net.state_dict(),
                'acc': acc,
                'epoch': self.epoch,
            }
            if not os.path.isdir('checkpoint'):
                os.mkdir('checkpoint')
            torch.save(state, './checkpoint/ckpt.pth')
            self.best_acc = acc
        self.log("correct", self.test_correct, prog_bar=True)

    @property
    def epoch(self):
        return self.current_epoch + start_epoch


model = LitSmallCNN(args.lr)
net = model.net

if args.resume:
    # Load checkpoint.
    print('==> Resuming from checkpoint..')
    assert os.path.isdir('checkpoint'), 'Error: no checkpoint directory found!'
    checkpoint = torch.load('./checkpoint/ckpt.pth')
    net.load_state_dict(checkpoint['net'])
    best_acc = checkpoint['acc']
    start_epoch = checkpoint['epoch'] + 1


model.best_acc = best_acc
trainer = L.Trainer(
    max_epochs=args.epochs,
    accelerator="gpu" if torch.cuda.is_available() else "cpu",
    devices=1,
    num_sanity_val_steps=0,
    enable_checkpointing=False,
    logger=False,
)
trainer.fit(model, datamodule=data)
model.to("cuda" if torch.cuda.is_available() else "cpu")  # the Trainer has moved it to the CPU

# Iris with tiny batches: gradients of several batches are added up before each step.
import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_iris
from torch.utils.data import DataLoader, TensorDataset, random_split

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


def fit():
    torch.manual_seed(SEED)
    train_set, held_out = load_data()
    train_loader = DataLoader(train_set, batch_size=MICRO_BATCH, shuffle=True)
    held_out_loader = DataLoader(held_out, batch_size=30)

    model = IrisNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.5)

    for epoch in range(1, N_EPOCHS + 1):
        model.train()
        optimizer.zero_grad()
        epoch_loss = 0.0
        for step, (x, y) in enumerate(train_loader):
            loss = F.cross_entropy(model(x), y)
            epoch_loss += loss.item()
            loss = loss / ACCUM_STEPS
            loss.backward()

            # Step every ACCUM_STEPS batches, and once more for what is left of the epoch
            if (step + 1) % ACCUM_STEPS == 0 or (step + 1) == len(train_loader):
                optimizer.step()
                optimizer.zero_grad()

        if epoch % 5 == 0:
            acc = evaluate(model, held_out_loader)
            print("epoch %d: loss %.4f, accuracy %.3f" % (epoch, epoch_loss / len(train_loader), acc))
    return model


if __name__ == '__main__':
    fit()

import torch
import torch.nn as nn
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, Dataset
import torchlift as L

# Device configuration
device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')

torch.manual_seed(42)

# Hyper-parameters
input_size = 13
hidden_size = 32
num_classes = 3
num_epochs = 12
batch_size = 16
learning_rate = 0.005


class WineDataset(Dataset):
    """Chemical analysis of 178 wines from three growers."""

    def __init__(self, features, labels):
        self.features = torch.from_numpy(features).float()
        self.labels = torch.from_numpy(labels)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.features[index], self.labels[index]


class WineDataModule(L.LightningDataModule):
    def __init__(self, batch_size):
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage):
        if hasattr(self, "train_dataset"):
            return
        X, y = load_wine(return_X_y=True)
        X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=0)
        scaler = StandardScaler().fit(X_train)

        self.train_dataset = WineDataset(scaler.transform(X_train), y_train)
        self.test_dataset = WineDataset(scaler.transform(X_test), y_test)

    def train_dataloader(self):
        # Data loader
        return DataLoader(dataset=self.train_dataset, batch_size=self.hparams.batch_size, shuffle=True)

    def test_dataloader(self):
        return DataLoader(dataset=self.test_dataset, batch_size=self.hparams.batch_size, shuffle=False)


data = WineDataModule(batch_size)
data.setup("fit")  # the data is made here, as it was


# Fully connected neural network with one hidden layer
class NeuralNet(nn.Module):
    def __init__(self, input_size, hidden_size, num_classes):
        super(NeuralNet, self).__init__()
        self.fc1 = nn.Linear(input_size, hidden_size)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(hidden_size, num_classes)

    def forward(self, x):
        out = self.fc1(x)
        out = self.relu(out)
        out = self.fc2(out)
        return out


class LitNeuralNet(L.LightningModule):
    def __init__(self, input_size, hidden_size, num_classes, learning_rate):
        super().__init__()
        self.save_hyperparameters()
        self.model = NeuralNet(input_size, hidden_size, num_classes)
        # Loss and optimizer
        self.criterion = nn.CrossEntropyLoss()

    def forward(self, features):
        return self.model(features)

    def configure_optimizers(self):
        return torch.optim.Adam(self.model.parameters(), lr=self.hparams.learning_rate)

    def training_step(self, batch, batch_idx):
        features, labels = batch
        # Move tensors to the configured device
        # Forward pass
        outputs = self.model(features)
        loss = self.criterion(outputs, labels)

        if (batch_idx + 1) % 4 == 0:
            print(
                'Epoch [{}/{}], Step [{}/{}], Loss: {:.4f}'.format(
                    self.current_epoch + 1, num_epochs, batch_idx + 1, total_step, loss.item()
                )
            )
        self.log("train_loss", loss, prog_bar=True)
        # Backward and optimize
        return loss


lit_model = LitNeuralNet(input_size, hidden_size, num_classes, learning_rate)

# Train the model
total_step = len(data.train_dataloader())
trainer = L.Trainer(
    max_epochs=num_epochs,
    accelerator="gpu" if torch.cuda.is_available() else "cpu",
    devices=1,
    enable_checkpointing=False,
    logger=False,
)
trainer.fit(lit_model, datamodule=data)
lit_model.to(device)  # the Trainer has moved it to the CPU
model = lit_model.model

# Test the model
# No gradients are needed here
with torch.no_grad():
    correct = 0
    total = 0
    for features, labels in data.test_dataloader():
        features = features.to(device)
        labels = labels.to(device)
        outputs = model(features)
        _, predicted = torch.max(outputs.data, 1)
        total += labels.size(0)
        correct += (predicted == labels).sum().item()

    print('Accuracy of the network on the {} test wines: {:.1f} %'.format(total, 100 * correct / total))

# Save the model checkpoint
torch.save(model.state_dict(), 'model.ckpt')

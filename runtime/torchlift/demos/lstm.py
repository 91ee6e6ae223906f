"""A small LSTM that learns the next word and carries its state from batch to batch.

Layer names, shapes and draws are those of ``lightning.pytorch.demos.lstm``.
"""

from collections.abc import Iterator, Sized

import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.utils.data import DataLoader, Sampler

from torchlift.demos.transformer import WikiText2
from torchlift.module import LightningModule

__all__ = ["LightningLSTM", "SequenceSampler", "SimpleLSTM"]

State = tuple[Tensor, Tensor]


class SimpleLSTM(nn.Module):
    """Embedding, LSTM and a linear layer; gives log-probabilities [batch * time, `vocab_size`] and the new state.

    Args:
        vocab_size: how many words there are.
        ninp: the size of an embedding.
        nhid: the size of the state.
        nlayers: layers of the LSTM.
        dropout: the share of values dropped in training.
    """

    def __init__(
        self, vocab_size: int = 33278, ninp: int = 512, nhid: int = 512, nlayers: int = 4, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(vocab_size, ninp)
        self.rnn = nn.LSTM(ninp, nhid, nlayers, dropout=dropout, batch_first=True)
        self.decoder = nn.Linear(nhid, vocab_size)
        self.nlayers = nlayers
        self.nhid = nhid
        self.init_weights()

    def init_weights(self) -> None:
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)

    def forward(self, input: Tensor, hidden: State) -> tuple[Tensor, State]:
        output, hidden = self.rnn(self.drop(self.encoder(input)), hidden)
        decoded = self.decoder(self.drop(output)).view(-1, self.vocab_size)
        return F.log_softmax(decoded, dim=1), hidden

    def init_hidden(self, batch_size: int) -> State:
        """A state of zeros, twice [layers, batch, size]."""
        weight = next(self.parameters())
        shape = (self.nlayers, batch_size, self.nhid)
        return weight.new_zeros(shape), weight.new_zeros(shape)


class SequenceSampler(Sampler[list[int]]):
    """Batches in which each row goes on where the same row of the batch before ended."""

    def __init__(self, dataset: Sized, batch_size: int) -> None:
        super().__init__()
        self.dataset = dataset
        self.batch_size = batch_size
        self.chunk_size = len(dataset) // batch_size

    def __iter__(self) -> Iterator[list[int]]:
        used = len(self.dataset) - len(self.dataset) % self.batch_size
        for start in range(self.chunk_size):
            yield list(range(start, used, self.chunk_size))

    def __len__(self) -> int:
        return self.chunk_size


class LightningLSTM(LightningModule):
    """The LSTM with SGD and the text."""

    def __init__(self, vocab_size: int = 33278) -> None:
        super().__init__()
        self.model = SimpleLSTM(vocab_size=vocab_size)
        self.hidden: State | None = None

    def on_train_epoch_end(self) -> None:
        self.hidden = None

    def training_step(self, batch: State, batch_idx: int) -> Tensor:
        words, target = batch
        if self.hidden is None:
            self.hidden = self.model.init_hidden(words.size(0))
        output, self.hidden = self.model(words, (self.hidden[0].detach(), self.hidden[1].detach()))
        loss = F.nll_loss(output, target.view(-1))
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def prepare_data(self) -> None:
        WikiText2(download=True)

    def train_dataloader(self) -> DataLoader:
        dataset = WikiText2()
        return DataLoader(dataset, batch_sampler=SequenceSampler(dataset, batch_size=20))

    def configure_optimizers(self) -> Optimizer:
        return SGD(self.parameters(), lr=20.0)

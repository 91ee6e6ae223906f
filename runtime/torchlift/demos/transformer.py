"""A small transformer that learns the next word, and the text it reads.

The model is that of the PyTorch word language model example; layer names, shapes and draws are those of
``lightning.pytorch.demos.transformer``.
"""

import math
import os
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.utils.data import DataLoader, Dataset

from torchlift.module import LightningModule

__all__ = ["LightningTransformer", "Transformer", "WikiText2"]

TEXT_URL = "https://raw.githubusercontent.com/pytorch/examples/main/word_language_model/data/wikitext-2/train.txt"


class Transformer(nn.Module):
    """Encoder and decoder with shared embeddings; gives log-probabilities [batch * time, `vocab_size`].

    Args:
        vocab_size: how many words there are.
        ninp: the size of an embedding.
        nhead: attention heads in each layer.
        nhid: the width of the feed-forward layers.
        nlayers: layers of the encoder, and of the decoder.
        dropout: the share of values dropped in training.
    """

    def __init__(
        self,
        vocab_size: int = 33278,
        ninp: int = 200,
        nhead: int = 2,
        nhid: int = 200,
        nlayers: int = 2,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.pos_encoder = PositionalEncoding(ninp, dropout)
        self.embedding = nn.Embedding(vocab_size, ninp)
        self.transformer = nn.Transformer(
            d_model=ninp,
            nhead=nhead,
            num_encoder_layers=nlayers,
            num_decoder_layers=nlayers,
            dim_feedforward=nhid,
            dropout=dropout,
            batch_first=True,
        )
        self.decoder = nn.Linear(ninp, vocab_size)
        self.ninp = ninp
        self.vocab_size = vocab_size
        self.src_mask: Tensor | None = None

    def generate_square_subsequent_mask(self, size: int) -> Tensor:
        """What position may look at what, [`size`, `size`]: 0 up to itself, minus infinity after."""
        return torch.full((size, size), float("-inf")).triu(diagonal=1)

    def forward(self, inputs: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Both `inputs` and `target` are word numbers [batch, time]; `mask` [time, time] is added to the attention."""
        length = inputs.shape[1]
        if self.src_mask is None or self.src_mask.size(0) != length:
            self.src_mask = self.generate_square_subsequent_mask(length).to(inputs.device)
        if mask is None:
            mask = self.generate_square_subsequent_mask(length).to(inputs.device)
        output = self.transformer(self._embedded(inputs), self._embedded(target), tgt_mask=mask)
        return F.log_softmax(self.decoder(output), dim=-1).view(-1, self.vocab_size)

    def _embedded(self, words: Tensor) -> Tensor:
        return self.pos_encoder(self.embedding(words) * math.sqrt(self.ninp))


class PositionalEncoding(nn.Module):
    """Adds sines and cosines of the position. As in Lightning's, all of a batch get those of its length.

    The table is no buffer, so that the state dict holds what Lightning's holds.
    """

    def __init__(self, dim: int, dropout: float = 0.1, max_len: int = 5000) -> None:
        super().__init__()
        self.dropout = nn.Dropout(p=dropout)
        self.dim = dim
        self.max_len = max_len
        self.pe: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.pe is None:
            self.pe = self._table(x.device)
        return self.dropout(x + self.pe[:, x.size(1)])

    def _table(self, device: torch.device) -> Tensor:
        position = torch.arange(0, self.max_len, dtype=torch.float, device=device).unsqueeze(1)
        frequency = torch.exp(torch.arange(0, self.dim, 2, device=device).float() * (-math.log(10000.0) / self.dim))
        table = torch.zeros(self.max_len, self.dim, device=device)
        table[:, 0::2] = torch.sin(position * frequency)
        table[:, 1::2] = torch.cos(position * frequency)
        return table.unsqueeze(0)


class WikiText2(Dataset):
    """Blocks of `block_size` words of WikiText-2 and the blocks one word later, both as word numbers.

    Args:
        data_dir: the text is ``wikitext-2.txt`` in this folder.
        block_size: words in a sample.
        download: fetch the text if it is not there.

    Raises:
        ModuleNotFoundError: the text has to be fetched and the ``requests`` package is missing.
    """

    def __init__(self, data_dir: Path = Path("./data"), block_size: int = 35, download: bool = True) -> None:
        super().__init__()
        self.path = data_dir / "wikitext-2.txt"
        if download:
            self.download(self.path)
        self.data, self.dictionary = tokenize(self.path)
        self.block_size = block_size

    @property
    def vocab_size(self) -> int:
        return len(self.dictionary)

    def __len__(self) -> int:
        return len(self.data) // self.block_size - 1

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        start = index * self.block_size
        end = start + self.block_size
        return self.data[start:end], self.data[start + 1 : end + 1]

    @staticmethod
    def download(destination: Path) -> None:
        """Fetch the text to `destination`, unless it is there."""
        from urllib.request import urlopen

        from torchlift.utilities.atomic import write_text

        destination.parent.mkdir(parents=True, exist_ok=True)
        if not destination.exists():
            with urlopen(TEXT_URL, timeout=60) as answer:
                write_text(os.fspath(destination), answer.read().decode("utf-8"))


class Dictionary:
    """Words, numbered in the order in which they came first."""

    def __init__(self) -> None:
        self.word2idx: dict[str, int] = {}
        self.idx2word: list[str] = []

    def add_word(self, word: str) -> int:
        if word not in self.word2idx:
            self.word2idx[word] = len(self.idx2word)
            self.idx2word.append(word)
        return self.word2idx[word]

    def __len__(self) -> int:
        return len(self.idx2word)


def tokenize(path: Path) -> tuple[Tensor, Dictionary]:
    """The text at `path` as word numbers, one dimension; a line ends in the word ``<eos>``."""
    dictionary = Dictionary()
    with open(path, encoding="utf8") as text:
        numbers = [dictionary.add_word(word) for line in text for word in (*line.split(), "<eos>")]
    return torch.tensor(numbers, dtype=torch.int64), dictionary


class LightningTransformer(LightningModule):
    """The transformer with SGD and the text."""

    def __init__(self, vocab_size: int = 33278) -> None:
        super().__init__()
        self.model = Transformer(vocab_size=vocab_size)

    def forward(self, inputs: Tensor, target: Tensor) -> Tensor:
        return self.model(inputs, target)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        inputs, target = batch
        return F.nll_loss(self(inputs, target), target.view(-1))

    def configure_optimizers(self) -> Optimizer:
        return SGD(self.model.parameters(), lr=0.1)

    def prepare_data(self) -> None:
        WikiText2(download=True)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(WikiText2())

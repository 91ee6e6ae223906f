"""MNIST in a data module: torchvision's, or where that is missing the two tensor files that Lightning hosts."""

import os
import urllib.request
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, random_split

from torchlift.datamodule import LightningDataModule
from torchlift.utilities.rank_zero import rank_zero_info

__all__ = ["MNIST", "MNISTDataModule"]

_HOST = "https://pl-public-data.s3.amazonaws.com/MNIST/processed"
_FOLDER = "./data"


class _MNIST(Dataset):
    """Images [1, 28, 28] and digits, from ``training.pt`` and ``test.pt`` in ``root/MNIST/complete``.

    Args:
        root: the folder for data sets.
        train: the training set, else the test set.
        normalize: mean and standard deviation to take off and divide by.
        download: fetch the files if they are not there.

    Raises:
        RuntimeError: the files are not there.
    """

    TRAIN_FILE_NAME = "training.pt"
    TEST_FILE_NAME = "test.pt"
    cache_folder_name = "complete"

    def __init__(
        self,
        root: str,
        train: bool = True,
        normalize: tuple[float, float] | None = (0.1307, 0.3081),
        download: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.root, self.train, self.normalize = root, train, normalize
        self.prepare_data(download)
        name = self.TRAIN_FILE_NAME if train else self.TEST_FILE_NAME
        self.data, self.targets = torch.load(os.path.join(self.cached_folder_path, name), weights_only=True)

    @property
    def cached_folder_path(self) -> str:
        return os.path.join(self.root, "MNIST", self.cache_folder_name)

    def prepare_data(self, download: bool = True) -> None:
        """Fetch the files if they are missing and `download` is true."""
        folder = Path(self.cached_folder_path)
        missing = [name for name in (self.TRAIN_FILE_NAME, self.TEST_FILE_NAME) if not (folder / name).is_file()]
        if missing and not download:
            raise RuntimeError(f"Dataset not found: {folder} lacks {' and '.join(missing)}. Use download=True.")
        for name in missing:
            folder.mkdir(parents=True, exist_ok=True)
            part, _ = urllib.request.urlretrieve(f"{_HOST}/{name}", folder / f"{name}.part")
            os.replace(part, folder / name)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.data[index].float().unsqueeze(0)
        if self.normalize is not None:
            mean, deviation = self.normalize
            image = image.sub(mean).div(deviation)
        return image, int(self.targets[index])

    def __len__(self) -> int:
        return len(self.data)


def MNIST(*args: Any, **kwargs: Any) -> Dataset:
    """torchvision's MNIST; the hosted files if it cannot be fetched or ``PL_USE_MOCKED_MNIST`` is set."""
    if not os.environ.get("PL_USE_MOCKED_MNIST"):
        from torchvision import datasets  # type: ignore[import-not-found]

        try:
            datasets.MNIST(_FOLDER, download=True)
            return datasets.MNIST(*args, **kwargs)
        except HTTPError as error:
            rank_zero_info(f"torchvision's MNIST could not be fetched ({error}). Using the files that Lightning hosts.")
    return _MNIST(*args, **kwargs)


class MNISTDataModule(LightningDataModule):
    """Training, validation and test images; the validation images are split off the training set.

    Args:
        data_dir: the folder for data sets.
        val_split: how many images to validate on.
        num_workers: of every loader.
        normalize: scale images to [-1, 1] instead of [0, 1].
        seed: kept, as in Lightning, where the split has a seed of its own.
        batch_size: of every loader.
    """

    name = "mnist"

    def __init__(
        self,
        data_dir: str = _FOLDER,
        val_split: int = 5000,
        num_workers: int = 16,
        normalize: bool = False,
        seed: int = 42,
        batch_size: int = 32,
    ) -> None:
        super().__init__()
        self.data_dir = data_dir
        self.val_split = val_split
        self.num_workers = num_workers
        self.normalize = normalize
        self.seed = seed
        self.batch_size = batch_size

    @property
    def num_classes(self) -> int:
        return 10

    def prepare_data(self) -> None:
        MNIST(self.data_dir, train=True, download=True)
        MNIST(self.data_dir, train=False, download=True)

    def setup(self, stage: str) -> None:
        dataset: Any = self._dataset(train=True)
        sizes = [len(dataset) - self.val_split, self.val_split]
        self.dataset_train, self.dataset_val = random_split(dataset, sizes, torch.Generator().manual_seed(42))

    def _dataset(self, train: bool) -> Dataset:
        transform = self.default_transforms
        extra = {"transform": transform} if transform else {}
        return MNIST(self.data_dir, train=train, download=False, **extra)

    def _loader(self, dataset: Dataset, shuffle: bool = False) -> DataLoader:
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            shuffle=shuffle,
            num_workers=self.num_workers,
            drop_last=True,
            pin_memory=True,
        )

    def train_dataloader(self) -> DataLoader:
        return self._loader(self.dataset_train, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return self._loader(self.dataset_val)

    def test_dataloader(self) -> DataLoader:
        return self._loader(self._dataset(train=False))

    @property
    def default_transforms(self) -> Callable[[Any], Tensor] | None:
        """Images to tensors; ``None`` without torchvision, whose images these are."""
        if find_spec("torchvision") is None:
            return None
        from torchvision import transforms

        if not self.normalize:
            return transforms.ToTensor()
        return transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean=(0.5,), std=(0.5,))])

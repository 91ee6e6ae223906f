"""LightningDataModule: datasets and their loaders, in one place."""

import inspect
import os
from collections.abc import Mapping, Sized
from typing import IO, TYPE_CHECKING, Any

from torch.utils.data import DataLoader, Dataset, IterableDataset

from torchlift.hparams import HyperparametersMixin
from torchlift.module_hooks import DataHooks
from torchlift.utilities.apply import apply_to_leaves
from torchlift.utilities.classmethods import only_on_the_class

if TYPE_CHECKING:
    from typing import Self

    from torchlift.trainer import Trainer


class LightningDataModule(DataHooks, HyperparametersMixin):
    """Override ``setup`` and the ``*_dataloader`` methods; ``prepare_data`` for what is done once per machine.

    It works without a Trainer too: call ``prepare_data()``, ``setup("fit")`` and then, say, ``train_dataloader()``.
    """

    name: str | None = None
    CHECKPOINT_HYPER_PARAMS_KEY = "datamodule_hyper_parameters"
    CHECKPOINT_HYPER_PARAMS_NAME = "datamodule_hparams_name"
    CHECKPOINT_HYPER_PARAMS_TYPE = "datamodule_hparams_type"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.trainer: Trainer | None = None

    @classmethod
    def from_datasets(
        cls,
        train_dataset: Any = None,
        val_dataset: Any = None,
        test_dataset: Any = None,
        predict_dataset: Any = None,
        batch_size: int = 1,
        num_workers: int = 0,
        **datamodule_kwargs: Any,
    ) -> "Self":
        """Make an instance from datasets, or collections of datasets; only the training set is shuffled.

        Args:
            train_dataset: to train on.
            val_dataset: to validate on.
            test_dataset: to test on.
            predict_dataset: to predict on.
            batch_size: of every loader.
            num_workers: of every loader; 0 loads in this process.
            datamodule_kwargs: go to ``__init__``.
        """

        def loaders(datasets: Any, shuffle: bool) -> Any:
            def loader(dataset: Any) -> Any:
                mixes = shuffle and not isinstance(dataset, IterableDataset)
                return DataLoader(
                    dataset, batch_size=batch_size, shuffle=mixes, num_workers=num_workers, pin_memory=True
                )

            return apply_to_leaves(datasets, lambda value: isinstance(value, Dataset), loader)

        parameters = inspect.signature(cls.__init__).parameters
        takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        sizes = {"batch_size": batch_size, "num_workers": num_workers}
        extra = {name: value for name, value in sizes.items() if takes_all or name in parameters}
        instance = cls(**datamodule_kwargs, **extra)
        given = {"train": train_dataset, "val": val_dataset, "test": test_dataset, "predict": predict_dataset}
        for stage, datasets in given.items():
            if datasets is not None:
                setattr(instance, f"{stage}_dataloader", _maker(loaders, datasets, stage == "train"))
        return instance

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of the data module."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave."""

    def on_exception(self, exception: BaseException) -> None:
        """The run ends with an exception."""

    @only_on_the_class
    def load_from_checkpoint(
        cls,
        checkpoint_path: Any | IO,
        map_location: Any = None,
        hparams_file: Any = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> "Self":
        """Make an instance from the hyperparameters and the state that a checkpoint keeps.

        Args:
            checkpoint_path: a path or an open file.
            map_location: where to put tensors, as in ``torch.load``.
            hparams_file: a ``.yaml`` or ``.csv`` file with hyperparameters to use instead.
            weights_only: ``False`` lets the checkpoint hold any object, which can run code.
            kwargs: replace single hyperparameters.
        """
        from torchlift.loading import load_datamodule

        return load_datamodule(cls, checkpoint_path, map_location, hparams_file, weights_only, kwargs)

    def __str__(self) -> str:
        """One line for each kind of loader, with the sizes of its datasets; ``None`` while it cannot be made."""
        stages = {"Train": "train", "Validation": "val", "Test": "test", "Predict": "predict"}
        return os.linesep.join(f"{{{name} dataloader: {self._sizes(stage)}}}" for name, stage in stages.items())

    def _sizes(self, stage: str) -> str:
        try:
            sizes = apply_to_leaves(
                getattr(self, f"{stage}_dataloader")(),
                lambda value: isinstance(value, DataLoader),
                lambda loader: str(len(loader.dataset)) if isinstance(loader.dataset, Sized) else "NA",
            )
            if isinstance(sizes, str):
                return f"size={sizes}"
            several = sizes.values() if isinstance(sizes, Mapping) else sizes
            return " ; ".join(f"{number}. size={size}" for number, size in enumerate(several, start=1))
        except Exception:  # setup has not run, most likely
            return "None"


def _maker(loaders: Any, datasets: Any, shuffle: bool) -> Any:
    return lambda: loaders(datasets, shuffle)

"""Small modules and data for trying things out, with the layers and numbers of Lightning's demos."""

from typing import TYPE_CHECKING

from torchlift.utilities.lazy import lazy_exports

if TYPE_CHECKING:  # for type checkers and editors, which do not run __getattr__
    from torchlift.demos.boring_classes import BoringDataModule as BoringDataModule
    from torchlift.demos.boring_classes import BoringModel as BoringModel
    from torchlift.demos.boring_classes import DemoModel as DemoModel
    from torchlift.demos.lstm import LightningLSTM as LightningLSTM
    from torchlift.demos.lstm import SequenceSampler as SequenceSampler
    from torchlift.demos.lstm import SimpleLSTM as SimpleLSTM
    from torchlift.demos.transformer import LightningTransformer as LightningTransformer
    from torchlift.demos.transformer import Transformer as Transformer
    from torchlift.demos.transformer import WikiText2 as WikiText2

__getattr__, __dir__ = lazy_exports(__name__)

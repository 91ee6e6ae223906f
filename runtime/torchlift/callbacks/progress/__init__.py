"""Progress bars: the base class, one drawn with rich, one with tqdm."""

from typing import TYPE_CHECKING

from torchlift.utilities.lazy import lazy_exports

if TYPE_CHECKING:
    from torchlift.callbacks.progress.progress_bar import ProgressBar as ProgressBar
    from torchlift.callbacks.progress.progress_bar import get_standard_metrics as get_standard_metrics
    from torchlift.callbacks.progress.rich_progress import RichProgressBar as RichProgressBar
    from torchlift.callbacks.progress.rich_progress import RichProgressBarTheme as RichProgressBarTheme
    from torchlift.callbacks.progress.tqdm_progress import Tqdm as Tqdm
    from torchlift.callbacks.progress.tqdm_progress import TQDMProgressBar as TQDMProgressBar

__getattr__, __dir__ = lazy_exports(__name__)

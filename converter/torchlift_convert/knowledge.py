"""What is known about library calls: which of them leave the random state and the outside world alone.

The tables only ever allow a statement to move; a call that stands in none of them is taken to draw random numbers.
"""

from __future__ import annotations

# Library calls that never draw random numbers and never write anything. A trailing dot or underscore: everything that
# starts so.
QUIET: tuple[str, ...] = tuple(
    """
    torch.device torch.cuda. torch.accelerator. torch.backends. torch.optim. torch.tensor torch.as_tensor
    torch.from_numpy torch.zeros torch.ones torch.zeros_like torch.ones_like torch.full torch.full_like
    torch.empty torch.arange torch.linspace torch.eye torch.stack torch.cat torch.unsqueeze torch.squeeze
    torch.FloatTensor torch.LongTensor torch.Tensor torch.max torch.min torch.sum torch.mean torch.argmax
    torch.exp torch.log torch.sqrt torch.sin torch.cos torch.pow torch.abs torch.clamp torch.sign torch.eq
    torch.round torch.sigmoid torch.softmax torch.matmul torch.mm torch.flatten torch.reshape torch.numel
    torch.is_tensor torch.no_grad torch.enable_grad torch.set_grad_enabled torch.inference_mode torch.Size
    torch.float torch.sparse_coo_tensor torch.sparse. torch.Generator torch.set_num_threads torch.isnan
    torch.isfinite torch.load torch.autocast torch.amp. torch.cpu.amp. torch.autograd.Variable
    torch.utils.data.DataLoader torch.utils.data.dataloader.DataLoader torch.utils.data.TensorDataset
    torch.utils.data.Subset
    torch.utils.data.ConcatDataset torch.utils.data.RandomSampler torch.utils.data.SequentialSampler
    torch.utils.data.SubsetRandomSampler torch.utils.data.sampler. torchvision.datasets. torchvision.transforms.
    torchvision.utils.make_grid numpy.array numpy.asarray numpy.zeros numpy.ones numpy.arange numpy.linspace
    numpy.load numpy.loadtxt numpy.genfromtxt numpy.concatenate numpy.vstack numpy.hstack numpy.stack numpy.mean
    numpy.sum numpy.std numpy.sin numpy.cos numpy.exp numpy.sqrt numpy.log numpy.max numpy.min numpy.argmax
    numpy.float32 numpy.int64 numpy.float64 numpy.reshape numpy.newaxis numpy.expand_dims numpy.prod numpy.abs
    numpy.inf pandas. sklearn.datasets.load_ sklearn.preprocessing. sklearn.metrics. scipy.sparse.
    PIL.Image.open argparse. collections. functools.partial itertools. math. copy. dataclasses. pathlib.
    os.path. os.environ. os.cpu_count os.getcwd json.load json.loads yaml.safe_load pickle.load types. typing.
    warnings. logging.getLogger time.time time.perf_counter time.strftime datetime.
    """.split()
)

# Drawn at random by nobody, but they write: to the screen, to a file, to a plot.
WRITING: tuple[str, ...] = tuple(
    """
    print open input torch.save torch.onnx. torchvision.utils.save_image numpy.save numpy.savez os. shutil.
    json.dump pickle.dump yaml.dump logging. matplotlib. sys. torch.utils.tensorboard. tensorboardX. wandb. csv.
    """.split()
)

# What is in files: these read it, and those change it (or where it is looked for).
READING: tuple[str, ...] = tuple(
    """
    numpy.load numpy.loadtxt numpy.genfromtxt numpy.fromfile pandas.read_ torch.load PIL.Image.open
    json.load yaml.safe_load pickle.load torchvision.datasets. cv2.imread imageio. scipy.io. h5py.
    """.split()
)
CHANGING_FILES: tuple[str, ...] = tuple(
    """
    open os.system os.popen os.remove os.unlink os.rename os.replace os.rmdir os.removedirs os.chdir os.symlink
    shutil. subprocess. torch.save torch.onnx. torchvision.utils.save_image numpy.save numpy.savez json.dump
    pickle.dump yaml.dump urllib. requests. zipfile. tarfile.
    """.split()
)

BUILTINS: frozenset[str] = frozenset(
    """
    AssertionError Exception KeyError NotImplementedError RuntimeError TypeError ValueError abs all any bool
    bytes callable chr classmethod dict divmod enumerate filter float format frozenset getattr hasattr hash hex
    id int isinstance issubclass iter len list map max min next object ord pow property range repr reversed
    round set slice sorted staticmethod str sum super tuple type vars zip
    """.split()
)

# Methods of tensors, numbers, strings and containers that neither draw nor write, whatever they are called on.
QUIET_METHODS: frozenset[str] = frozenset(
    """
    abs add add_ add_argument add_argument_group add_mutually_exclusive_group add_parser add_subparsers all any
    append argmax argmin astype backward bmm bool children clamp clear clone contiguous copy count cpu cuda
    cumsum data_ptr decode detach dim discard div div_ dot double encode endswith eq eval exp expand expand_as
    extend fill_ fit_transform flatten float format ge get get_device_name get_last_lr gt half index insert int
    is_available item items join keys le ljust load_state_dict log long lower lstrip lt matmul max mean min mm
    modules mul mul_ named_parameters ne nelement new_ones new_zeros nonzero norm numel numpy parameters
    parse_args parse_known_args permute pop pow read readline readlines replace requires_grad_ reshape rjust
    round rstrip set_defaults set_epoch setdefault sigmoid size softmax sort split splitlines sqrt squeeze
    startswith state_dict std strip sub sub_ sum t to tolist topk train transform transpose type type_as
    unsqueeze update upper values var view view_as zero_ zero_grad zfill
    """.split()
)

# Methods of containers that give a value and change the container too.
GROWING_OR_SHRINKING: frozenset[str] = frozenset("pop popitem popleft setdefault".split())

# What gives a new object, no part of what it is called on or with.
FRESH_METHODS: frozenset[str] = frozenset(
    """
    item tolist clone sum mean norm abs max min argmax argmin std var size dim numel any all backward step zero_grad
    format count index startswith endswith forward
    """.split()
)
FRESH_BUILTINS: frozenset[str] = frozenset(
    "len int float str bool repr print sum abs round isinstance type id hash range any all".split()
)

# Methods of containers that keep what they are given.
TAKING: frozenset[str] = frozenset("add append discard insert setdefault update index transform join".split())

CLOCKS: tuple[str, ...] = ("time.", "datetime.")


def listed(name: str, table: tuple[str, ...]) -> bool:
    """Does a dotted name stand in a table, or below an entry that ends in a dot or an underscore?"""
    return any(name == entry or (entry[-1] in "._" and name.startswith(entry)) for entry in table)

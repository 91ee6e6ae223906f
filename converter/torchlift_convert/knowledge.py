"""What is known about library calls: which of them leave the random state and the outside world alone.

The tables only ever allow a statement to move; a call that stands in none of them is taken to draw random numbers.
"""

from __future__ import annotations

# Library calls that never draw random numbers and never write anything. A trailing dot: everything below that name.
QUIET: tuple[str, ...] = (
    "torch.device", "torch.cuda.", "torch.accelerator.", "torch.backends.", "torch.optim.", "torch.tensor", "torch.as_tensor",
    "torch.from_numpy", "torch.zeros", "torch.ones", "torch.zeros_like", "torch.ones_like", "torch.full", "torch.full_like",
    "torch.empty", "torch.arange", "torch.linspace", "torch.eye", "torch.stack", "torch.cat", "torch.unsqueeze", "torch.squeeze",
    "torch.FloatTensor", "torch.LongTensor", "torch.Tensor", "torch.max", "torch.min", "torch.sum", "torch.mean", "torch.argmax",
    "torch.exp", "torch.log", "torch.sqrt", "torch.sin", "torch.cos", "torch.pow", "torch.abs", "torch.clamp", "torch.sign",
    "torch.eq", "torch.round", "torch.sigmoid", "torch.softmax", "torch.matmul", "torch.mm", "torch.flatten", "torch.reshape",
    "torch.numel", "torch.is_tensor", "torch.no_grad", "torch.enable_grad", "torch.set_grad_enabled", "torch.inference_mode",
    "torch.Size", "torch.float", "torch.sparse_coo_tensor", "torch.sparse.", "torch.Generator",
    "torch.set_num_threads", "torch.isnan", "torch.isfinite", "torch.load", "torch.autograd.Variable",
    "torch.utils.data.DataLoader", "torch.utils.data.dataloader.DataLoader", "torch.utils.data.TensorDataset",
    "torch.utils.data.Subset", "torch.utils.data.ConcatDataset", "torch.utils.data.RandomSampler",
    "torch.utils.data.SequentialSampler", "torch.utils.data.SubsetRandomSampler", "torch.utils.data.sampler.",
    "torchvision.datasets.", "torchvision.transforms.", "torchvision.utils.make_grid",
    "numpy.array", "numpy.asarray", "numpy.zeros", "numpy.ones", "numpy.arange", "numpy.linspace", "numpy.load", "numpy.loadtxt",
    "numpy.genfromtxt", "numpy.concatenate", "numpy.vstack", "numpy.hstack", "numpy.stack", "numpy.mean", "numpy.sum", "numpy.std",
    "numpy.sin", "numpy.cos", "numpy.exp", "numpy.sqrt", "numpy.log", "numpy.max", "numpy.min", "numpy.argmax", "numpy.float32",
    "numpy.int64", "numpy.float64", "numpy.reshape", "numpy.newaxis", "numpy.expand_dims", "numpy.prod", "numpy.abs", "numpy.inf",
    "pandas.", "sklearn.datasets.load_", "sklearn.preprocessing.", "sklearn.metrics.", "scipy.sparse.", "PIL.Image.open",
    "argparse.", "collections.", "functools.partial", "itertools.", "math.", "copy.", "dataclasses.", "pathlib.", "os.path.",
    "os.environ.", "os.cpu_count", "os.getcwd", "json.load", "json.loads", "yaml.safe_load", "pickle.load", "types.", "typing.",
    "warnings.", "logging.getLogger", "time.time", "time.perf_counter", "time.strftime", "datetime.",
)  # fmt: skip

# Drawn at random by nobody, but they write: to the screen, to a file, to a plot.
WRITING: tuple[str, ...] = (
    "print", "open", "input", "torch.save", "torch.onnx.", "torchvision.utils.save_image", "numpy.save", "numpy.savez", "os.",
    "shutil.", "json.dump", "pickle.dump", "yaml.dump", "logging.", "matplotlib.", "sys.", "torch.utils.tensorboard.",
    "tensorboardX.", "wandb.", "csv.",
)  # fmt: skip

BUILTINS: frozenset[str] = frozenset(
    "abs all any bool bytes callable chr dict divmod enumerate filter float format frozenset getattr hasattr hash hex id int "
    "isinstance issubclass iter len list map max min next object ord pow range repr reversed round set slice sorted str sum "
    "super tuple type vars zip AssertionError ValueError RuntimeError Exception KeyError TypeError NotImplementedError "
    "property staticmethod classmethod".split()
)

# Methods of tensors, numbers, strings and containers that neither draw nor write, whatever they are called on.
QUIET_METHODS: frozenset[str] = frozenset(
    "item size view reshape detach cpu cuda to numpy float long int double half bool type type_as sum mean max min argmax argmin "
    "eq ne lt gt le ge view_as expand expand_as permute transpose contiguous flatten squeeze unsqueeze clone data_ptr dim numel "
    "std var norm abs exp log sqrt pow clamp softmax sigmoid tolist t topk sort cumsum backward requires_grad_ "
    "append extend insert pop update get keys values items setdefault copy add discard index count clear "
    "format join split strip lower upper replace startswith endswith encode decode rjust ljust zfill lstrip rstrip splitlines "
    "add_argument add_mutually_exclusive_group add_argument_group add_subparsers add_parser set_defaults parse_args parse_known_args "
    "train eval parameters named_parameters modules children state_dict load_state_dict zero_grad is_available read readlines "
    "readline astype fit_transform transform set_epoch nelement get_last_lr dot matmul mm bmm all any nonzero fill_ zero_ new_zeros "
    "new_ones get_device_name mul add sub div mul_ add_ sub_ div_ round".split()
)

CLOCKS: tuple[str, ...] = ("time.", "datetime.")


def listed(name: str, table: tuple[str, ...]) -> bool:
    """Does a dotted name stand in a table, or below an entry that ends in a dot or an underscore?"""
    return any(name == entry or (entry[-1] in "._" and name.startswith(entry)) for entry in table)

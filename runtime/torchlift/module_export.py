"""The module in other forms: TorchScript, ONNX, TensorRT."""

import copy
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from torchlift.utilities.exceptions import MisconfigurationException
from torchlift.utilities.rank_zero import rank_zero_deprecation

if TYPE_CHECKING:
    from torchlift.trainer import Trainer

File = str | Path | BytesIO | None


class ExportMethods:
    """The part of a LightningModule that exports it. Each method leaves the module in the mode it was in."""

    if TYPE_CHECKING:  # not at run time: TorchScript would read them as the types of attributes
        device: torch.device
        training: bool
        example_input_array: Any
        eval: Callable[[], Any]
        train: Callable[..., Any]
        to: Callable[..., Any]
        _trainer: "Trainer | None"

    @torch.no_grad()
    def to_torchscript(
        self,
        file_path: str | Path | None = None,
        method: str | None = "script",
        example_inputs: Any | None = None,
        **kwargs: Any,
    ) -> Any:
        """The module as TorchScript, in evaluation mode; override it to export several parts as a dictionary.

        PyTorch has deprecated TorchScript: https://pytorch.org/docs/stable/jit.html. Prefer ``torch.export``.

        Args:
            file_path: save it there too; a path or a URL.
            method: ``"script"`` compiles the code, ``"trace"`` records one run.
            example_inputs: what to trace with; ``self.example_input_array`` by default.
            kwargs: go to ``torch.jit.script`` or ``torch.jit.trace``.

        Raises:
            ValueError: no such method, or nothing to trace with.
        """
        rank_zero_deprecation(
            "`LightningModule.to_torchscript` has been deprecated in v2.7 and will be removed in v2.8 of Lightning,"
            " because PyTorch has deprecated TorchScript. Use `torch.export.export()` for model exporting instead. See"
            " https://pytorch.org/docs/stable/export.html."
        )
        if method not in ("script", "trace"):
            raise ValueError(f"The 'method' parameter only supports 'script' or 'trace', but value given was: {method}")
        with self._in_eval_mode():
            if method == "script":
                exported = torch.jit.script(self, **kwargs)
            else:
                example = self._example(
                    example_inputs,
                    "Choosing method=`trace` requires either `example_inputs` or `model.example_input_array` to be"
                    " defined.",
                )
                if kwargs.get("check_inputs") is not None:
                    kwargs["check_inputs"] = self._transferred(kwargs["check_inputs"])
                exported = torch.jit.trace(func=self, example_inputs=self._transferred(example), **kwargs)
        if file_path is not None:
            _save_script(exported, file_path)
        return exported

    @torch.no_grad()
    def to_onnx(self, file_path: File = None, input_sample: Any | None = None, **kwargs: Any) -> Any:
        """Write the module in the ONNX format; see https://pytorch.org/docs/stable/onnx.html.

        Args:
            file_path: a path or an open binary file; ``None`` writes nothing.
            input_sample: what ``forward`` takes; ``self.example_input_array`` by default.
            kwargs: go to ``torch.onnx.export``.

        Returns:
            What ``torch.onnx.export`` returns: an ``ONNXProgram``, or ``None`` with ``dynamo=False``.

        Raises:
            ModuleNotFoundError: the ``onnx`` package is missing, or ``onnxscript`` where torch needs it.
            ValueError: there is no input to export with.
        """
        _need(self, "to_onnx()", "onnx")
        if kwargs.get("dynamo", False):
            _need(self, "to_onnx(dynamo=True)", "onnxscript")
        example = self._example(
            input_sample,
            "Could not export to ONNX since neither `input_sample` nor `model.example_input_array` attribute is set.",
        )
        path = str(file_path) if isinstance(file_path, Path) else file_path
        mode = self.training
        try:
            return torch.onnx.export(self, self._transferred(example), path, **kwargs)  # type: ignore[arg-type]
        finally:
            self.train(mode)

    @torch.no_grad()
    def to_tensorrt(
        self,
        file_path: File = None,
        input_sample: Any | None = None,
        ir: Literal["default", "dynamo", "ts"] = "default",
        output_format: Literal["exported_program", "torchscript"] = "exported_program",
        retrace: bool = False,
        default_device: str | torch.device = "cuda",
        **compile_kwargs: Any,
    ) -> Any:
        """Compile the module with TensorRT; see https://pytorch.org/TensorRT/.

        Args:
            file_path: save it there too.
            input_sample: what ``forward`` takes; ``self.example_input_array`` by default.
            ir: TensorRT's intermediate representation.
            output_format: of the file.
            retrace: trace again when saving.
            default_device: the CUDA device to compile on when the module is on none.
            compile_kwargs: go to ``torch_tensorrt.compile``.

        Raises:
            ModuleNotFoundError: ``torch_tensorrt`` is missing.
            MisconfigurationException: there is no CUDA device.
            ValueError: there is no input to compile with, or `output_format` does not go with `ir`.
        """
        _need(self, "to_tensorrt", "torch_tensorrt", " It comes with https://pytorch.org/TensorRT/.")
        before, target = self.device, torch.device(default_device)
        if before.type != "cuda" and (target.type != "cuda" or not torch.cuda.is_available()):
            raise MisconfigurationException(
                f"TensorRT only supports CUDA devices. The current device is {before}. Please set the `default_device`"
                " argument to a CUDA device."
            )
        example = self._example(
            input_sample,
            "Could not export to TensorRT since neither `input_sample` nor `model.example_input_array` attribute is"
            " set.",
        )
        if file_path is not None and ir == "ts" and output_format != "torchscript":
            raise ValueError(
                "TensorRT with IR mode 'ts' only supports output format 'torchscript'. The current output format is"
                f" {output_format}."
            )
        import torch_tensorrt  # type: ignore[import-not-found]

        example = copy.deepcopy((example,) if isinstance(example, torch.Tensor) else example)
        try:
            if before.type != "cuda":
                self.to(target)
            example = self._transferred(example)
            with self._in_eval_mode():
                compiled = torch_tensorrt.compile(module=self, ir=ir, inputs=example, **compile_kwargs)
        finally:
            self.to(before)
        if file_path is not None and ir == "ts":
            torch.jit.save(compiled, file_path)
        elif file_path is not None:
            torch_tensorrt.save(compiled, file_path, inputs=example, output_format=output_format, retrace=retrace)
        return compiled

    @contextmanager
    def _in_eval_mode(self) -> Iterator[None]:
        mode = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(mode)

    def _example(self, given: Any | None, complaint: str) -> Any:
        """What was given, or the module's own example.

        Raises:
            ValueError: there is neither.
        """
        example = self.example_input_array if given is None else given
        if example is None:
            raise ValueError(complaint)
        return example

    def _transferred(self, batch: Any) -> Any:
        """A batch on the module's device, through the data hooks; the data module's where it overrides them."""
        from torchlift.data_hooks import data_hooks

        before, move, after = data_hooks(self, self._trainer.datamodule if self._trainer else None)
        return after(move(before(batch, 0), self.device, 0), 0)


def _save_script(exported: Any, path: str | Path) -> None:
    from torchlift.utilities.atomic import whole_file
    from torchlift.utilities.cloud_io import get_filesystem, is_local

    with whole_file(Path(path)) if is_local(path) else get_filesystem(path).open(str(path), "wb") as file:
        torch.jit.save(exported, file)


def _need(module: object, what: str, package: str, more: str = "") -> None:
    if importlib.util.find_spec(package) is None:
        raise ModuleNotFoundError(f"`{type(module).__name__}.{what}` requires `{package}` to be installed.{more}")

"""``python -m torchlift.compat``: a script finds what ``python script.py`` gives it, and torchlift as Lightning."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import torchlift

RUNTIME = str(Path(torchlift.__file__).parents[1])


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "torchlift.compat", *arguments]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": RUNTIME, **more}


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), cwd=cwd, env=environment(), capture_output=True, text=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "helper.py").write_text("where = 'beside the script'\n")
    (tmp_path / "helper.py").write_text("where = 'in the current folder'\n")
    return tmp_path


def test_the_script_is_main_with_its_arguments_and_its_own_folder(folder: Path) -> None:
    script = folder / "scripts" / "train.py"
    script.write_text(
        "import sys, helper, lightning, torchlift\n"
        "print(__name__, sys.argv, __file__, helper.where, sys.modules['__main__'].__file__, __spec__)\n"
        "print(lightning.Trainer is torchlift.Trainer)\n"
    )
    done = run("scripts/train.py", "--lr", "0.1", cwd=folder)
    assert done.returncode == 0, done.stderr
    plain = "__main__ ['scripts/train.py', '--lr', '0.1'] scripts/train.py beside the script scripts/train.py None"
    assert done.stdout.splitlines() == [plain, "True"]


def test_a_module_of_a_package_can_be_run(folder: Path) -> None:
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").write_text("")
    (folder / "package" / "part.py").write_text("print(__package__, __name__)\n")
    (folder / "package" / "train.py").write_text(
        "import sys, helper\nfrom . import part\nprint(sys.argv[1:], helper.where)\n"
    )
    done = run("-m", "package.train", "-m", "x", cwd=folder)
    assert done.stdout.splitlines() == ["package package.part", "['-m', 'x'] in the current folder"], done.stderr


@pytest.mark.parametrize(("end", "code"), [("sys.exit(7)", 7), ("sys.exit('no')", 1), ("pass", 0)])
def test_the_exit_code_is_the_scripts(folder: Path, end: str, code: int) -> None:
    (folder / "train.py").write_text(f"import sys\n{end}\n")
    assert run("train.py", cwd=folder).returncode == code


def test_a_traceback_starts_in_the_script(folder: Path) -> None:
    (folder / "train.py").write_text("def train():\n    1 / 0\n\ntrain()\n")
    done = run("train.py", cwd=folder)
    plain = subprocess.run([sys.executable, "train.py"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == plain.returncode == 1
    assert done.stderr == plain.stderr.replace(str(folder / "train.py"), "train.py")


def test_a_syntax_error_is_shown_as_python_shows_it(folder: Path) -> None:
    (folder / "train.py").write_text("x = = 1\n")
    done = run("train.py", cwd=folder)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "SyntaxError: invalid syntax"
    assert "torchlift" not in done.stderr.replace(RUNTIME, "")


@pytest.mark.parametrize("arguments", [["nothing.py"], [], ["--help"]])
def test_what_cannot_be_run_is_a_sentence(folder: Path, arguments: list[str]) -> None:
    done = run(*arguments, cwd=folder)
    assert done.returncode == 2
    assert "nothing.py is no file" in done.stderr or done.stderr.startswith("usage:")
    assert "Traceback" not in done.stderr


def test_processes_that_the_script_starts_are_turned_over_too(folder: Path) -> None:
    (folder / "train.py").write_text(
        "import multiprocessing, subprocess, sys\n"
        "import lightning.pytorch as pl\n"
        "def work(queue):\n"
        "    import pytorch_lightning\n"
        "    queue.put((pl.Trainer.__module__, pytorch_lightning.Trainer is pl.Trainer))\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    queue = context.Queue()\n"
        "    process = context.Process(target=work, args=(queue,))\n"
        "    process.start()\n"
        "    print(queue.get())\n"
        "    process.join()\n"
        "    other = 'import lightning.pytorch.trainer as t; print(t.Trainer.__module__)'\n"
        "    print(subprocess.run([sys.executable, '-c', other], capture_output=True, text=True).stdout, end='')\n"
    )
    done = run("train.py", cwd=folder)
    assert done.stdout.splitlines() == ["('torchlift.trainer', True)", "torchlift.trainer"], done.stderr


def test_ctrl_c_ends_the_script_as_it_would_alone(folder: Path) -> None:
    (folder / "train.py").write_text(
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import time\nprint('ready', flush=True)\nwhile True:\n    time.sleep(0.01)\n"
    )
    codes = []
    for line in (command("train.py"), [sys.executable, "train.py"]):
        with subprocess.Popen(
            line, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
            _, said = process.communicate()
        assert said.splitlines()[-1] == "KeyboardInterrupt"
        codes.append(process.returncode)
    assert codes[0] == codes[1] == -signal.SIGINT

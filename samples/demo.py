"""Convert a sample, run it before and after, and let the tool prove that both train to the same bits.

Works in a new temporary folder that it names at the end; the sample itself stays as it is. Exit code 0 only when every
command ended well and the verdict is `exact`.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SAMPLE = Path(__file__).parent / "digits_mlp" / "train.py"
ARGUMENTS = ["--epochs", "2"]
TORCHLIFT = str(Path(sys.executable).with_name("torchlift"))


def show(title: str, command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Print what is done, run it in the folder, print and return what it said."""
    spoken = shlex.join([Path(command[0]).name, *command[1:]])
    print(f"\n== {title}\n$ {spoken}", flush=True)
    done = subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, check=False)
    print(done.stdout, end="", flush=True)
    if done.returncode:
        sys.exit(f"'{spoken}' ended with exit code {done.returncode}; its files are in {folder}")
    return done


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="torchlift-demo-"))
    shutil.copy(SAMPLE, folder / "train.py")

    show("Convert", [TORCHLIFT, "convert", "train.py", "-o", "train_lightning.py"], folder)
    before = show("Before: plain PyTorch", [sys.executable, "train.py", *ARGUMENTS], folder)
    after = show("After: on the torchlift runtime", [sys.executable, "train_lightning.py", *ARGUMENTS], folder)
    if before.stdout != after.stdout:
        sys.exit(f"The two printed different lines; both scripts are in {folder}")
    print("\nThe printed lines are the same.")

    report = folder / "report.json"
    options = ["--report", str(report)]
    show("Verify", [TORCHLIFT, "verify", "train.py", "train_lightning.py", *options, "--", *ARGUMENTS], folder)

    print(f"\nVerdict and both traces: {report}\nConverted script:        {folder / 'train_lightning.py'}")
    print(f"Statement by statement:  torchlift diff {folder / 'train.py'}")


if __name__ == "__main__":
    main()

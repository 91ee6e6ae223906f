"""Write docs/gallery.md: ten samples before and after their conversion.

    python samples/gallery.py            # writes the page
    python samples/gallery.py --check    # exit code 1 when the page is not what would be written
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "gallery.md"
# From the shape that most scripts have to the rarer ones.
SHOWN = (
    "digits_cnn_globals",
    "breast_cancer_main",
    "digits_phases",
    "digits_trainer_class",
    "digits_folds",
    "diabetes_curve",
    "waves_hidden",
    "digits_onecycle",
    "digits_gan",
    "letters_steps",
)
HEAD = """\
# Ten scripts before and after

Each script is written the way people write them, and lies in [samples](../samples/README.md) with what `torchlift convert` makes of
it. The test suite runs both, on torchlift and on Lightning, and compares every loss, weight, printed line and file bit for bit.
`make samples` writes this page.
"""


def page() -> str:
    """The page's text."""
    shapes = dict(_rows((HERE / "README.md").read_text(encoding="utf-8")))
    listed = "\n".join(f"- [{name}](#{name}): {shapes[name]}" for name in SHOWN)
    return "\n".join([HEAD, listed, *(section(name, shapes[name]) for name in SHOWN)])


def section(name: str, shape: str) -> str:
    """One sample: what its shape is, what it became, and both texts."""
    before, after = ((HERE / name / file).read_text(encoding="utf-8") for file in ("train.py", "train_lightning.py"))
    manual = "self.automatic_optimization = False" in after
    facts = ["manual optimization" if manual else "automatic optimization"]
    facts += ["a DataModule"] if "LightningDataModule" in after else ["its loaders handed to fit"]
    return (
        f"\n## {name}\n\n{shape[0].upper()}{shape[1:]}. Becomes: {', '.join(facts)}.\n\n"
        f"Before:\n\n```python\n{before}```\n\nAfter:\n\n```python\n{after}```"
    )


def _rows(readme: str) -> list[tuple[str, str]]:
    """Name and shape of each row in the samples' table."""
    rows = [line.strip("| ").split(" | ") for line in readme.splitlines() if line.startswith("| `")]
    return [(row[0].strip("`"), row[2]) for row in rows]


def main() -> int:
    text = page() + "\n"
    if "--check" in sys.argv[1:]:
        return PAGE.read_text(encoding="utf-8") != text
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What options take by name, known without importing what it stands for; a test compares it with what decides."""

from pathlib import Path

from command_line.parser import near

CONFIGS = Path(__file__).parent / "configs"
SMALL = "@small"

NETS = ("a", "a_lrn", "b", "b_shallow", "c", "d", "e")
KINDS = ("paper", "glorot", "modern", "boxes")
"""Of the chain of runs."""

PRECISIONS = ("fp32", "tf32", "bf16", "fp64")
"""fp32 and fp64 are IEEE's. tf32 rounds what is multiplied to 10 bits of fraction, bf16 to 7; both sum in fp32."""

DEVICES = ("auto", "cpu", "cuda")
"""auto takes GPUs where there are any."""

BUNDLED = ("digits", "pasted_digits")
"""What --data takes beside files, folders and ids of the Hub."""

TRACKERS = (
    *("tensorboard", "wandb", "comet_ml", "aim", "mlflow", "clearml", "dvclive", "swanlab", "trackio"),
    "all",
)
"""Of Accelerate, which ignores those that are not installed."""

LAYERS = (
    *("fc7", "fc6", *(f"conv{stage}_{place}" for stage in range(1, 6) for place in range(1, 5 if stage > 2 else 3))),
    *("lrn1", *(f"pool{stage}" for stage in range(1, 6))),
)
"""Of all nets of Table 1 together (`vgg_zoo.layers`); a net of one's own may have others, named likewise."""

PROTOCOLS = ("dense", "multi_crop", "multi_crop_and_dense")
"""Of `vgg_zoo.evaluation`, which may have further ones of a user's own."""

COMBINE = ("average", "stack")
L2 = ("scale", "final")
"""Of `vgg_zoo.descriptors`."""

CLOSE = 0.5
"""Of `vgg_zoo.boxes.merging`: overlap above which boxes are merged."""

SVM_PROTOCOLS = ("voc2007", "voc2012", "caltech101", "caltech256", "voc2012-action", "folder")
WITH_BOXES = ("voc2012-action",)
"""Of `recipes.features.protocols`, and those whose descriptors have persons' boxes."""

SOLVERS = ("auto", "liblinear", "sgd")
CANDIDATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Of linear SVMs: who fits them, and the C to choose from."""


def recipe_names() -> list[str]:
    """The files of `recipes/configs/`: the folder is the registry."""
    return sorted(path.stem for path in CONFIGS.glob("*.py") if path.stem != "__init__")


def check_recipe_name(name: str) -> None:
    """There is such a recipe, or such a file.

    Args:
        name: One of `recipe_names()`, followed by "@small" for the small one; or the path of a file that ends in .py.

    Raises:
        ValueError: There is none; the message has what may have been meant, and lists the recipes.
    """
    stem, known = name.removesuffix(SMALL), recipe_names()
    if stem.endswith(".py"):
        if not Path(stem).is_file():
            raise ValueError(f"no recipe file {stem!r}")
    elif stem not in known:
        raise ValueError(
            f"unknown recipe {name!r}{near(stem, known)}; recipes/configs/ has {', '.join(known)}, each also with "
            f"{SMALL} behind its name; or give the path of a .py file"
        )

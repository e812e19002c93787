"""Digits on photos as a folder with metadata, a part of `--data pasted_digits`: quick to load in every process."""

import json
from pathlib import Path

from recipes.data.digits import pasted_digits


def pasted_folder(folder: Path, training: int = 300, validation: int = 60) -> Path:
    """An imagefolder whose metadata.jsonl have "boxes"."""
    splits = pasted_digits()
    for name, count in (("train", training), ("validation", validation)):
        place = folder / name
        place.mkdir(parents=True)
        lines = []
        for number, row in enumerate(splits[name].select(range(count))):
            row["image"].save(place / f"{number:04}.png")
            lines.append(json.dumps({"file_name": f"{number:04}.png", "label": row["label"], "boxes": row["boxes"]}))
        (place / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return folder

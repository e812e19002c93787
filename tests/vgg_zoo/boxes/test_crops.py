"""Training crops of nets that predict boxes."""

import numpy as np
import pytest
import torch

from vgg_zoo.boxes.crops import training_box_crop


@pytest.mark.parametrize("centre", [0.05, 0.3, 0.5, 0.9])
def test_every_place_that_holds_the_centre_is_drawn(centre: float) -> None:
    """From the crop whose last pixel is the box's centre to the one whose first it is, and none beyond."""
    ramp = np.arange(200, dtype=np.uint8)
    pixels = np.stack([np.broadcast_to(ramp, (40, 200))] * 3, 2)
    box = torch.tensor([centre - 0.02, 0.4, centre + 0.02, 0.6])
    draws = [
        training_box_crop(pixels, box, (40, 40), 40, False, np.random.Generator(np.random.Philox(key=seed)))[0]
        for seed in range(300)
    ]
    firsts = [int(crop[0, 20, 0]) for crop in draws]
    lowest, highest = max(0.0, centre * 200 - 40), min(160.0, centre * 200)
    assert lowest - 1 <= min(firsts) <= lowest + 3
    assert highest - 3 <= max(firsts) <= highest + 1

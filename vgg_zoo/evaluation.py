"""Dense evaluation (Sect. 3.2): the net over the whole image, scores averaged over places and flips."""

import torch
from torch import Tensor, nn


@torch.inference_mode()
def posteriors(model: nn.Module, images: Tensor, flip: bool = True) -> Tensor:
    """Class posteriors of whole images or crops, averaged with those of the mirrored images.

    Args:
        model: A net of the zoo in eval mode; `model(images)` averages its class score map over places.
        images: (B, 3, H, W), RGB minus training mean.
        flip: Average the soft-max posteriors of the original and the flipped images.

    Returns:
        (B, num_classes); rows sum to 1.
    """
    scores = model(images).softmax(1)
    return (scores + model(images.flip(-1)).softmax(1)) / 2 if flip else scores

"""SGD's momentum, which torch.optim.SGD keeps in its state: of one parameter, and of a net by the parameters' names."""

from torch import Tensor, empty_like, nn
from torch.optim import SGD

BUFFER = "momentum_buffer"
"""Its name in the state of torch.optim.SGD."""


def momentum_of(optimizer: SGD, parameter: Tensor) -> Tensor:
    """The buffer of a parameter, in the layout of the weights (NHWC or not), as SGD would create it."""
    state = optimizer.state[parameter]
    if BUFFER not in state:
        state[BUFFER] = empty_like(parameter)
    buffer: Tensor = state[BUFFER]
    return buffer


def momentum_by_name(optimizer: SGD, net: nn.Module) -> dict[str, Tensor]:
    """The buffers by the parameters' names; there are none before the first step."""
    state = optimizer.state
    return {
        name: state[parameter][BUFFER]
        for name, parameter in net.named_parameters()
        if BUFFER in state.get(parameter, {})
    }

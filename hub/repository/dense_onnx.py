"""The dense net (Sect. 3.2, Appendix A) as an ONNX file for images of any number and size, with no code to run.

The graph is written layer by layer from Table 1 and not traced, so every version of PyTorch gives the same bytes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from vgg_zoo.boxes.net import BoxVGG
from vgg_zoo.configurations import FC_KEYS
from vgg_zoo.model import VGG

OPSET, IR_VERSION = 17, 8
"""An opset of 2022, which all current runtimes read."""

INPUT, MAP, POSTERIORS = "images", "class_score_map", "posteriors"
BOX_MAP = "box_map"
"""The only output of a net that predicts boxes; the user still has to add the position of each window."""

Shapes = dict[str, tuple[int | str, ...]]


def write_dense_onnx(net: VGG, path: Path, ceil_mode: bool = False) -> None:
    """Write the net as `images` → `class_score_map`, `posteriors`; one that predicts boxes as `images` → `box_map`.

    `images` are (batch, 3, height, width) of float32, RGB in 0–255, rescaled to a smallest side of Q; the mean is
    subtracted in the graph. `class_score_map` is (batch, classes, rows, columns); `posteriors` (batch, classes) are the
    soft-max of its mean over positions, for one scale and without flips. `box_map` is (batch, 4 · boxes, rows,
    columns): each position's centre (x, y), width and height of each box, in the frame of its window
    (`vgg_zoo.boxes.frame`).

    Args:
        net: A net with its weights, in float32.
        path: Path of the file.
        ceil_mode: Max-pools round their size up, as in Caffe.
    """
    cfg: Mapping[str, Any] = net.pretrained_cfg
    graph = _Graph(net)
    for name, key in (("mean", "mean"), ("deviation", "std")):
        graph.constant(name, np.asarray(cfg[key], np.float32).reshape(1, -1, 1, 1) * np.float32(255))
    graph.add("Sub", [INPUT, "mean"], "centred")
    last = graph.add("Div", ["centred", "deviation"], "input")
    for layer in net.configuration.layers():
        if layer.kind == "conv":
            last = graph.convolution(layer.name, last, padding=layer.kernel // 2)
            last = graph.add("Relu", [last], f"{layer.name}_relu")
        elif layer.kind == "LRN":  # ONNX divides α by the size, as PyTorch does
            last = graph.add("LRN", [last], layer.name, alpha=5e-4, beta=0.75, bias=2.0, size=5)
        else:
            sides = {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": int(ceil_mode)}
            last = graph.add("MaxPool", [last], layer.name, **sides)
    for name in FC_KEYS:
        last = graph.convolution(name, last, padding=0)
        if name != "fc8":
            last = graph.add("Relu", [last], f"{name}_relu")
    outputs = net.head.fc.out_features
    if isinstance(net, BoxVGG):
        graph.add("Identity", [last], BOX_MAP)
        shapes: Shapes = {BOX_MAP: ("batch", outputs, "rows", "columns")}
    else:
        graph.add("Identity", [last], MAP)
        graph.add("ReduceMean", [MAP], "class_scores", axes=[2, 3], keepdims=0)
        graph.add("Softmax", ["class_scores"], POSTERIORS, axis=1)
        shapes = {MAP: ("batch", outputs, "rows", "columns"), POSTERIORS: ("batch", outputs)}
    onnx.save(graph.model(shapes), path)


def expected_outputs(net: VGG, dense_map: Tensor) -> dict[str, Tensor]:
    """The expected outputs of the file by name, from the map of PyTorch's net (batch, outputs, rows, columns)."""
    if isinstance(net, BoxVGG):
        return {BOX_MAP: dense_map}
    return {MAP: dense_map, POSTERIORS: dense_map.mean((2, 3)).softmax(1)}


class _Graph:
    """Nodes and constants of a net, in the order of their addition."""

    def __init__(self, net: VGG) -> None:
        self.net, self.keys, self.weights = net, net.configuration.layer_keys(), net.state_dict()
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, values: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
        return name

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def convolution(self, name: str, last: str, padding: int) -> str:
        weight, bias = (self.weights[f"{self.keys[name]}.{kind}"].cpu().numpy() for kind in ("weight", "bias"))
        if weight.ndim == 2:  # fc8 is a matrix in timm's layout
            weight = weight[:, :, None, None]
        inputs = [last, self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)]
        sides = {"kernel_shape": list(weight.shape[2:]), "pads": [padding] * 4, "strides": [1, 1]}
        return self.add("Conv", inputs, name, **sides)

    def model(self, outputs: Shapes) -> Any:
        def tensor(name: str, *shape: int | str) -> Any:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        graph = helper.make_graph(
            self.nodes,
            "vgg",
            [tensor(INPUT, "batch", self.net.in_chans, "height", "width")],
            [tensor(name, *shape) for name, shape in outputs.items()],
            self.constants,
            doc_string=f"VGG, configuration {self.net.configuration.name}, applied densely",
        )
        return helper.make_model(
            graph, producer_name="vgg_zoo", ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)]
        )

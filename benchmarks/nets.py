"""The nets that timm and torchvision have too."""

PEERS = {"A": ("vgg_a", "vgg11"), "B": ("vgg_b", "vgg13"), "D": ("vgg_d", "vgg16"), "E": ("vgg_e", "vgg19")}
"""For each, its name here, and in both of the others."""

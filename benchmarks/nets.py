"""The nets that are measured, by the paper's names."""

NETS = {"A": "vgg_a", "A-LRN": "vgg_a_lrn", "B": "vgg_b", "C": "vgg_c", "D": "vgg_d", "E": "vgg_e"}
"""Their names here."""

PEERS = {"A": "vgg11", "B": "vgg13", "D": "vgg16", "E": "vgg19"}
"""Their names in timm and in torchvision, which have no others."""

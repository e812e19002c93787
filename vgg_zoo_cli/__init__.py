"""`vgg-zoo COMMAND`: one file for each command, imported when it is asked for.

This package stands beside `vgg_zoo` because importing that one imports PyTorch, which takes seconds. Modules here
import vgg_zoo, torch, timm and NumPy only inside the functions that do the work, after every option has been checked:
help and mistakes answer at once.
"""

"""`vgg-zoo COMMAND`: one file for each command, imported when the command runs.

This package is separate from `vgg_zoo`, because importing `vgg_zoo` imports PyTorch, which takes seconds. Modules here
import vgg_zoo, torch, timm and NumPy only inside the functions that do the work, after all options have been checked.
So help and mistakes are answered at once.
"""

"""Lets PyPI's torchvision, which links CUDA, be imported beside a CPU build of torch.

Its compiled operators cannot load there, and the import stops at "operator torchvision::nms does not exist". Nothing
here calls them: Qwen2.5-VL's processor uses the pure-Python part. So the two schemas that the import asks for are
declared just before it. `envs/install.sh` puts this file and a `.pth` line that imports it into the CPU environment
only; the library knows nothing of it.
"""

import importlib.abc
import sys

_kept = []


class _DeclareSchemas(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname, path=None, target=None):
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            import torch

            library = torch.library.Library("torchvision", "FRAGMENT")
            library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            library.define(
                "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
            )
            _kept.append(library)


sys.meta_path.insert(0, _DeclareSchemas())

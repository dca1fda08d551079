"""Small networks of spandrel's with random weights, as others publish them."""

import torch


def compact(*, scale=2):
    """A RealESRGAN Compact of 3 channels."""
    from spandrel.architectures.Compact import Compact

    torch.manual_seed(scale)
    return Compact(num_in_ch=3, num_out_ch=3, num_feat=8, num_conv=2, upscale=scale).eval()


def grey_dncnn():
    """A DnCNN of one channel, which changes no size."""
    from spandrel.architectures.DnCNN import DnCNN

    torch.manual_seed(0)
    return DnCNN(in_nc=1, out_nc=1, nc=8, nb=8, act_mode="R").eval()


def unshuffling_esrgan():
    """A Real-ESRGAN that takes sides of multiples of four, and enlarges twice."""
    from spandrel.architectures.ESRGAN import ESRGAN

    torch.manual_seed(0)
    return ESRGAN(in_nc=12, out_nc=3, num_filters=8, num_blocks=1, scale=4, shuffle_factor=2).eval()


def publish(network, path, *, metadata=None):
    """Write the weights as safetensors, or under "params" as a pickle, by the suffix."""
    from safetensors.torch import save_file

    weights = {key: value.contiguous().clone() for key, value in network.state_dict().items()}
    if path.suffix == ".safetensors":
        save_file(weights, path, metadata=metadata)
    else:
        torch.save({"params": weights}, path)
    return path

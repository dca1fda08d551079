"""The node: pictures in ComfyUI's layout through `ldrestore.restore`, one at a time."""

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

import ldrestore
from ldrestore.errors import InputError
from ldrestore.restorers import find_track
from ldrestore.tracks import options_class_of

OWN = "own"
"""In the list of models: take the path beside it."""


class LDRestoreNode:
    """Restores a batch of pictures."""

    CATEGORY = "image/restoration"
    RETURN_TYPES = ("IMAGE", "IMAGE", "STRING")
    RETURN_NAMES = ("image", "changes", "estimate")
    FUNCTION = "restore"
    DESCRIPTION = "Restores damaged pictures: noise, blur, rain, snow, haze, darkness, compression."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  ComfyUI's name
        """What the node takes, in ComfyUI's words."""
        names = [record.name for record in ldrestore.list_models()]
        share = {"min": 0.0, "max": 1.0, "step": 0.01}
        return {
            "required": {
                "image": ("IMAGE",),
                "model": ([*names, OWN], {"default": "default"}),
                "fidelity": ("FLOAT", {"default": 0.0, **share, "tooltip": "0 is the model's result, 1 the input"}),
                "keep_grain": ("FLOAT", {"default": 0.0, **share, "tooltip": "film grain given back"}),
                "scale": ("INT", {"default": 1, "min": 1, "max": 8}),
            },
            "optional": {
                "protect": ("MASK", {"tooltip": "white stays as it is"}),
                "own_model": (
                    "STRING",
                    {"default": "", "tooltip": "folder, file or repository, for own"},
                ),
                "instruction": ("STRING", {"default": "", "multiline": True}),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**63 - 1}),
                "steps": (
                    "INT",
                    {"default": 0, "min": 0, "max": 1000, "tooltip": "of sampling; 0 for the own"},
                ),
            },
        }

    def restore(
        self,
        image: Tensor,
        model: str,
        fidelity: float,
        keep_grain: float,
        scale: int,
        protect: Tensor | None = None,
        own_model: str = "",
        instruction: str = "",
        seed: int = 0,
        steps: int = 0,
    ) -> tuple[Tensor, Tensor, str]:
        """Restore.

        Args:
            image: (B, H, W, 3 or 4), float in [0, 1].
            model: A name of `ldrestore.list_models()`, or "own".
            fidelity: See `ldrestore.restore`, as the next two.
            keep_grain: Share of the grain.
            scale: Whole factor.
            protect: (B or 1, H, W), float in [0, 1]; white keeps the input.
            own_model: For the model "own".
            instruction: For models that take one; empty for none.
            seed: For models that sample.
            steps: For models that sample; 0 for their own number.

        Returns:
            (B, H * scale, W * scale, 3 or 4); maps of what was changed, with three channels and 2,048 pixels a side at
            most; and what the model saw, a line a picture.

        Raises:
            LDRestoreError: as `ldrestore.restore`; ComfyUI shows its message.
        """
        name = own_model if model == OWN else model
        options = self._options_of(name, instruction=instruction, seed=seed, steps=steps)
        pictures, maps, lines = [], [], []
        for index, picture in enumerate(image):
            mask = None if protect is None else protect[min(index, len(protect) - 1)][..., None].cpu().float().numpy()
            output = ldrestore.restore(
                picture.movedim(-1, 0),
                model=name,
                fidelity=fidelity,
                keep_grain=keep_grain,
                scale=scale,
                protect=mask,
                clip=True,
                output_type="pt",
                **options,
            )
            pictures.append(output.images[0].movedim(0, -1))
            maps.append(torch.from_numpy(output.changes[0].map()).float() / 255)
            ranked = output.degradations[0].ranked()[:3]
            lines.append(", ".join(f"{cause} {share:.2f}" for cause, share in ranked) or "no estimate")
        return torch.stack(pictures), torch.stack(maps), "\n".join(lines)

    @staticmethod
    def _options_of(name: str, *, instruction: str, seed: int, steps: int) -> dict[str, Any]:
        """What a model of this kind takes beside the options of all."""
        taken = {field.name for field in fields(options_class_of(find_track(name)))}
        given = {"instruction": instruction.strip() or None, "seed": seed, "num_inference_steps": steps or None}
        if given["instruction"] and "instruction" not in taken:
            raise InputError(f"{name} takes no instruction; leave it empty, or choose another model")
        return {key: value for key, value in given.items() if key in taken and value is not None}


NODE_CLASS_MAPPINGS = {"LDRestore": LDRestoreNode}
NODE_DISPLAY_NAME_MAPPINGS = {"LDRestore": "Restore (ldrestore)"}

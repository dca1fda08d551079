"""What stage 1 trains, as one network: CM-Adapter, textual and visual prompts, IR-Adapter, injection layers."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diffusers import ModelMixin
from torch import Tensor, nn

from ldrestore.adapters.injection import InjectionLayers
from ldrestore.adapters.ir_adapter import IRAdapter
from ldrestore.errors import ConfigError, WeightsUnavailableError
from ldrestore.prompts.cm_adapter import CMAdapter
from ldrestore.prompts.textual_prompts import TextualPromptPool
from ldrestore.structures import Conditioning
from ldrestore.systems.mperceiver import Begun
from ldrestore.training.loop.frozen_rows import freeze_rows
from ldrestore.training.networks.frozen_base import FrozenBase
from ldrestore.training.networks.rebuilding import save_part
from ldrestore.training.networks.steering import LqFeatures

logger = logging.getLogger(__name__)

PART_CLASSES: dict[str, type[ModelMixin]] = {
    "cm_adapter": CMAdapter,
    "textual_prompts": TextualPromptPool,
    "ir_adapter": IRAdapter,
    "injection": InjectionLayers,
}
"""The trained parts, by the names under which the pipeline knows them."""


class StableAdapters(nn.Module):
    """The trained parts, around a frozen base that is no part of it.

    Parts may be missing, as in the paper's ablations: without the CM-Adapter the text is empty, without IR-Adapter and
    injection no features enter.
    """

    def __init__(self, base: FrozenBase, parts: Mapping[str, nn.Module]) -> None:
        """Put the parts together.

        Args:
            base: Frozen; copies of this network share it.
            parts: By name, see `PART_CLASSES`.

        Raises:
            ConfigError: parts that work only together are not all there, or they know different degradations.
        """
        super().__init__()
        if ("ir_adapter" in parts) != ("injection" in parts) or ("textual_prompts" in parts) > ("cm_adapter" in parts):
            raise ConfigError(
                "parts: ir_adapter and injection go together, and textual_prompts with cm_adapter, "
                f"got {', '.join(parts) or 'none'}"
            )
        names = {tuple(part.config["degradations"]) for part in _pooled(parts)}
        if len(names) != 1:
            raise ConfigError(f"the parts know different degradations: {sorted(names)}; take them from one run")
        (self.names,) = names
        self.base = base
        for name, part in parts.items():
            self.add_module(name, part)

    def part(self, name: str) -> Any:
        """A part, or None where it is missing."""
        return dict(self.named_children()).get(name)

    @property
    def parts(self) -> dict[str, Any]:
        """The parts that are there, by name."""
        children = dict(self.named_children())
        return {name: children[name] for name in PART_CLASSES if name in children}

    def forward(self, noised: Tensor, timesteps: Tensor, steering: LqFeatures) -> Tensor:
        """What the base predicts under the prompts, Eq. 2 to 5.

        Args:
            noised: (B, C, H, W), z_t.
            timesteps: (B,).
            steering: Of the B damaged pictures.

        Returns:
            (B, C, H, W), noise or velocity as the base's scheduler says.
        """
        return self.predict(noised, timesteps, steering, prompt_embeds=self.text(steering))

    def predict(self, noised: Tensor, timesteps: Tensor, steering: LqFeatures, *, prompt_embeds: Tensor) -> Tensor:
        """`forward` with the text at hand, which depends on no timestep: (B, L, D)."""
        system = self.base.system(self.parts, acts=True)
        conditioning = Conditioning(prompt_embeds=prompt_embeds, probabilities=steering.probabilities, names=self.names)
        begun = Begun(lq_latents=steering.lq_latents, conditioning=conditioning, prompts=None)
        return system.predict(noised, timesteps, begun=begun)

    def text(self, steering: LqFeatures) -> Tensor:
        """e_txt of Eq. 3, or the empty text's: (B, L, D)."""
        return self.base.system(self.parts).text(steering.embeddings, steering.probabilities)

    def grow(self, names: Sequence[str], *, train_shared: bool) -> None:
        """Add further degradations; rows and attentions of the old ones are not trained any more.

        Args:
            names: Of the new degradations; none changes nothing.
            train_shared: Whether what all degradations share is trained on.

        Raises:
            ConfigError: nothing is left to train.
        """
        if not names:
            return
        num_old = len(self.names)
        if not train_shared:
            self.requires_grad_(False)
        for part in _pooled(self.parts):
            (part.add_degradations if isinstance(part, IRAdapter) else part.grow)(names)
        if self.part("cm_adapter") is not None:
            for index, attention in enumerate(self.part("cm_adapter").attns):
                attention.requires_grad_(index >= num_old)
        for name, key, dim in (("textual_prompts", "tp", 0), ("ir_adapter", "visual_prompt", 1)):
            pool = getattr(self.part(name), key, None)  # none where the part is missing, or has no prompts
            if pool is not None:
                freeze_rows(pool.requires_grad_(True), num_old, dim=dim)
        self.names = (*self.names, *names)
        if not any(weight.requires_grad for weight in self.parameters()):
            raise ConfigError("train_shared: false leaves nothing to train: no part has something for each degradation")


def load_parts(folder: Path) -> dict[str, nn.Module]:
    """The trained parts of an earlier run.

    Args:
        folder: Has a folder for each part, as runs export them and as pipelines save them.

    Raises:
        WeightsUnavailableError: none lies there.
    """
    parts: dict[str, nn.Module] = {
        name: kind.from_pretrained(folder / name, local_files_only=True)
        for name, kind in PART_CLASSES.items()
        if (folder / name / "config.json").is_file()
    }
    if not parts:
        raise WeightsUnavailableError(f"no {', '.join(PART_CLASSES)} in {folder}; give the export of an earlier run")
    return parts


def save_parts(network: StableAdapters, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write the parts with given weights, each into a folder of its own.

    Args:
        network: Tells which parts there are, and their configurations.
        weights: Key to tensor, of the whole network.
        folder: Exists.
    """
    for name, part in network.parts.items():
        save_part(part, weights, folder, name=name)


def _pooled(parts: Mapping[str, nn.Module]) -> list[Any]:
    """Those of the parts that have something for each degradation."""
    return [part for name, part in parts.items() if name != "injection"]

"""A trained U-Net with one level more, which answers the same at first: does it help to see further?

    python experiments/deeper.py photo-4x-fast --width 96 --blocks 2 --out deeper
    sr3 train photo-4x-fast --data photos.zip --out runs/deeper --begin deeper/model.safetensors \\
        --set training.pictures=12000 --set training.precision=fp32 \\
        --set "model.network={kind='unet',patch=2,widths=[32,64,96],blocks=[1,2,2],embedding=128}"

The blocks of what was the last level go half down and half up, and the new level lies between; what comes of it is not
merged at first.  --more adds blocks to the levels that there were, and --attention puts one into the new level; both
begin at zero.  What `photo-4x-fast` and `face-8x` made of it is in docs/models.md.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from sr3.model.config import ConfigError, ModelConfig
from sr3.model.model import Model


def deeper(
    model: Model, width: int, blocks: int, *, more: Sequence[int] = (), attention: int = 0, seed: int = 0
) -> Model:
    """A model whose network has a level more, of so many channels and blocks; its weights are drawn with the seed.

    more: blocks to be added to each of the other levels, going down and going up again.  attention: the new level's
    heads; 0: none.
    ConfigError for a network of another kind, with attention, or with an odd number of blocks in its last level.
    """
    raw = model.config.model_dump(mode="json")
    network = raw["network"]
    if network["kind"] != "unet" or network.get("attention") or network["blocks"][-1] % 2:
        raise ConfigError(f"{model.config.name} must be of a `unet` without attention, with an even last level")
    last, half = len(network["widths"]) - 1, network["blocks"][-1] // 2
    network["widths"] = [*network["widths"], width]
    have = [*network["blocks"][:-1], half]
    if len(more) not in (0, len(have)):
        raise ConfigError(f"{model.config.name} has {len(have)} levels; say of each how many blocks are added")
    network["blocks"] = [*(n + plus for n, plus in zip(have, more or [0] * len(have), strict=True)), blocks]
    network["attention"] = attention
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = Model(ModelConfig.model_validate(raw), about=model.about)
    old, new = model.net.state_dict(), made.net.state_dict()
    known = {name: _before(name, have) for name in new}
    new.update({name: old[before] for name, before in known.items() if before in old})
    merge: Tensor = new[f"merge.{last}.weight"]  # of what comes up, and of what was kept
    merge.zero_()[:, len(merge) :, 0, 0] = torch.eye(len(merge))
    new[f"merge.{last}.bias"].zero_()
    made.net.load_state_dict(new)
    made.first = model.first
    return made


def _before(name: str, have: Sequence[int]) -> str | None:
    """What weights of the deeper network were called; those that are new have no counterpart.  have: the blocks that
    there were, those of the last level halved."""
    parts, last = name.split("."), len(have) - 1
    if parts[0] in ("down", "up"):
        level, block = int(parts[1]), int(parts[2])
        if level > last or block >= have[level]:
            return None
        if parts[0] == "up" and level == last:
            parts[0], parts[2] = "down", str(block + have[last])
    return ".".join(parts)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a name or file")
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--more", type=int, nargs="+", default=[], metavar="N", help="blocks for each level there was")
    parser.add_argument("--attention", type=int, default=0, metavar="HEADS")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    told = parser.parse_args()
    made = deeper(Model.from_pretrained(told.model), told.width, told.blocks, more=told.more, attention=told.attention)
    print(made.save_pretrained(told.out))


if __name__ == "__main__":
    main()

"""`sr3 import`: weights that were trained with other code."""

from pathlib import Path
from typing import Annotated, Any

import typer


def command(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.pth", help="The weights: I…_E…_gen.pth of janspiry-sr3, …_Network.pth of janspiry-palette."
        ),
    ],
    origin: Annotated[str, typer.Option("--from", help="The code that made them: janspiry-sr3 or janspiry-palette.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file to write.  Default: FILE.safetensors.")
    ] = None,
    factor: Annotated[
        int | None, typer.Option(min=1, max=64, help="Of SR3: how many times larger its results are.  Default: 8.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Of Palette: what it was trained for, inpainting, uncropping or colorization.")
    ] = None,
    side: Annotated[
        int | None,
        typer.Option(min=8, help="Of Palette: the side of what it was trained on, in pixels.  Default: 256."),
    ] = None,
    groups: Annotated[
        int | None, typer.Option(min=1, help="Groups of its norms, norm_groups in its configuration.  Default: 32.")
    ] = None,
    head_width: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Of Palette: channels of a head, num_head_channels in its configuration; 0: one head.  Default: 32.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Make a model of weights trained with other code; the numbers stay what they are."""
    from sr3.model import checkpoint
    from sr3.model.config import ConfigError
    from sr3.model.foreign import bring

    target = output or file.with_suffix(".safetensors")
    if target.suffix != ".safetensors":
        raise ConfigError(f"models are written as .safetensors, and {target} is none")
    if target.exists() and not force:
        raise ConfigError(f"{target} is there already; --force replaces it")
    options = {"factor": factor, "task": task, "side": side, "groups": groups, "head_width": head_width}
    told: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    model = bring(file, origin, **told)
    checkpoint.save(target, model.config, model.tensors(), model.about, half=False)
    count, network = sum(p.numel() for p in model.net.parameters()), model.config.network
    norms = f"norms of {network['groups']} groups"
    if origin == "janspiry-sr3":
        said = f"{model.task.factor} times larger; taken for granted are this factor and {norms}"
    else:
        assert model.config.sides is not None
        heads = f"heads of {head} channels and " if (head := network.get("head")) else "one head of attention and "
        said = f"{model.config.task['kind']}; taken for granted are pictures of {model.config.sides[1]} pixels, "
        said += heads + norms
    typer.echo(f"{target}: {count / 1e6:.2f} million parameters, {said}")

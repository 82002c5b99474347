"""`sr3 import`: weights that were trained with other code."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE.pth", help="The weights; for janspiry-sr3, I…_E…_gen.pth.")],
    origin: Annotated[str, typer.Option("--from", help="The code that made them: janspiry-sr3.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file to write.  Default: FILE.safetensors.")
    ] = None,
    factor: Annotated[int, typer.Option(min=1, max=64, help="How many times larger its results are.")] = 8,
    groups: Annotated[
        int | None, typer.Option(min=1, help="Groups of its norms, norm_groups in its configuration.  Default: 32.")
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
    model = bring(file, origin, factor=factor, groups=groups)
    checkpoint.save(target, model.config, model.tensors(), model.about, half=False)
    count, network = sum(p.numel() for p in model.net.parameters()), model.config.network
    typer.echo(
        f"{target}: {count / 1e6:.2f} million parameters, {factor} times larger; taken for granted are this factor and "
        f"norms of {network['groups']} groups"
    )

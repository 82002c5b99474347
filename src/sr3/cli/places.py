"""Boxes as they are typed."""

import re

import typer

Box = tuple[int, int, int, int]


def parse_box(text: str) -> Box:
    """'10,20,30x40' as (10, 20, 30, 40): left, top, width, height."""
    found = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*[xX]\s*(\d+)\s*", text)
    if found is None or int(found[3]) < 1 or int(found[4]) < 1:
        raise typer.BadParameter(f"{text!r} is not a box; write LEFT,TOP,WIDTHxHEIGHT, as 10,20,64x48")
    return int(found[1]), int(found[2]), int(found[3]), int(found[4])

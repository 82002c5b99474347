"""What `sr3.nn` holds to unless it is told otherwise."""

from unless_told import differing

HELD = {
    "nn.energy:EnergyScore": {"needs_double_backward": True},
    "nn.janspiry_palette:JanspiryPaletteUNet": {
        "channels": 64,
        "widths": (64, 128, 256, 512),
        "blocks": 2,
        "attention": (),
        "groups": 32,
        "head": 32,
        "in_channels": 3,
        "cond_channels": 3,
        "out_channels": 3,
        "dropout": 0.0,
        "checkpointing": False,
    },
    "nn.janspiry_unet:JanspiryUNet": {
        "channels": 64,
        "multipliers": (1, 2, 4, 8, 8),
        "blocks": 2,
        "attention": (3,),
        "groups": 32,
        "in_channels": 3,
        "cond_channels": 3,
        "out_channels": 3,
        "dropout": 0.0,
        "checkpointing": False,
    },
    "nn.ladder:Ladder": {"checkpointing": False, "pads": True},
    "nn.plain:PlainNet": {
        "in_channels": 3,
        "cond_channels": 3,
        "out_channels": 3,
        "patch": 4,
        "width": 64,
        "blocks": 5,
        "stirred": False,
        "pads": True,
    },
    "nn.settled:settled": {"pads": True},
    "nn.sr3_unet": {
        "PUBLISHED": {
            "16-128": {"channels": 128, "multipliers": (1, 2, 4, 8, 8), "blocks": 3, "resolution": 128, "dropout": 0.2},
            "64-256": {"channels": 128, "multipliers": (1, 2, 4, 4, 8, 8), "blocks": 3, "resolution": 256},
            "64-512": {"channels": 64, "multipliers": (1, 2, 4, 8, 8, 16, 16), "blocks": 3, "resolution": 512},
            "palette": {
                "channels": 256,
                "multipliers": (1, 1, 2, 2, 4, 4),
                "blocks": 2,
                "resolution": 256,
                "attention_at": (32, 16, 8),
                "guided": True,
            },
            "256-1024": {"channels": 16, "multipliers": (1, 2, 4, 8, 16, 32, 32, 32), "blocks": 2, "resolution": 1024},
        }
    },
    "nn.sr3_unet:_conv": {"zero": False},
    "nn.sr3_unet:Attention": {"scale": 0.7071067811865476, "heads": 1},
    "nn.sr3_unet:ResidualBlock": {"dropout": 0.0, "attend": False, "scale": 0.7071067811865476, "guided": False},
    "nn.sr3_unet:SR3UNet": {
        "channels": 128,
        "multipliers": (1, 2, 4, 8, 8),
        "blocks": 3,
        "resolution": 128,
        "attention_at": (16,),
        "in_channels": 3,
        "cond_channels": 3,
        "out_channels": 3,
        "dropout": 0.0,
        "ddpm": False,
        "guided": False,
        "labels": 0,
        "checkpointing": False,
    },
    "nn.unet:Block": {"dropout": 0.0},
    "nn.unet:UNet": {
        "in_channels": 3,
        "cond_channels": 3,
        "out_channels": 3,
        "patch": 4,
        "widths": (64, 96),
        "blocks": (3, 3),
        "embedding": 128,
        "dropout": 0.0,
        "checkpointing": False,
        "attention": 0,
        "labels": 0,
        "pads": True,
    },
}


def test_nothing_that_is_left_out_has_changed_its_meaning():
    assert differing(HELD) == {}

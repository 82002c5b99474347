"""What `sr3.picture` holds to unless it is told otherwise."""

from unless_told import differing

HELD = {
    "picture.bleed": {"REACH": 24},
    "picture.collection": {"AHEAD": 64, "MEMBER": 268435456},
    "picture.collection:load": {"smallest": 1, "own": False},
    "picture.frames": {"MOST": 16384, "_THUMBNAIL": 254},
    "picture.frames:Timing": {"loop": 0},
    "picture.frames:write_frames": {"quality": 95},
    "picture.grey": {"WEIGHTS": (0.299, 0.587, 0.114), "_BAND": 256, "RADIUS": 1, "SOFT": 0.1},
    "picture.grey:coloured": {"bits": 8},
    "picture.image:read": {"max_pixels": 1073741824, "lenient": False, "page": 0},
    "picture.image:read_rgb8": {"max_pixels": 1073741824},
    "picture.jpeg": {
        "_APART": 10.0,
        "_CLOSE": 0.05,
        "_STRIDE": 1.8,
    },
    "picture.jpeg:JpegBins": {"turned": 1},
    "picture.jpeg:JpegBins.project": {"inset": 1.0, "rounds": 100},
    "picture.jpeg_file": {"_LARGEST": 268435456, "_FRAMES": (192, 193, 194)},
    "picture.jpeg_file:_Reader": {"size": (0, 0), "restart": 0, "progressive": False, "jfif": False},
    "picture.jpeg_scan:Component": {"rows": 0, "columns": 0, "stride": 0},
    "picture.jpeg_twin": {
        "_ODD": (
            (2260, 6437, 9633, 11363),
            (-6436, -11362, -2259, 9633),
            (9633, 2261, -11362, 6437),
            (-11363, 9633, -6436, 2260),
        ),
        "_EVEN": ((8192, 8192), (4433, 10703), (-8192, 8192), (-10704, 4433)),
        "_YCC": ((19595, 38470, 7471), (-11059, -21709, 32768), (32768, -27439, -5329)),
        "_RGB": ((65536, 0, 91881), (65536, -22554, -46802), (65536, 116130, 0)),
    },
    "picture.jpeg_twin:compress": {"halved": True},
    "picture.memory": {"READING": 20, "WRITING": 95},
    "picture.tables": {
        "_UNIT": {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 1, 7: 1, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8},
        "EXIF": 34665,
        "GPS": 34853,
        "INTEROP": 40965,
        "IPTC": 33723,
    },
    "picture.metadata": {
        "_IPTC_PLACES": {100, 101, 90, 26, 27, 92, 95},
        "_MAKER": 37500,
    },
    "picture.noise": {
        "_SIDE": 8,
        "_MOST": 65536,
        "_LEAST": 1024,
        "_LOW": 16,
        "_FLAT": 1.6,
        "_EVERYWHERE": 0.4,
        "_SIGMA": (3.0, 60.0),
    },
    "picture.opened": {"MAX_PIXELS": 1073741824},
    "picture.opened:opened": {"lenient": False, "page": 0},
    "picture.opened:open_by_vips": {"lenient": False, "page": 0},
    "picture.picture": {"SHOWN": 1600, "TOP": {8: 255, 16: 65535}},
    "picture.picture:Picture": {"bits": 8},
    "picture.picture:Picture.save": {"quality": 95},
    "picture.picture:to_samples": {"opaque": False},
    "picture.room": {"_APART": 0.01},
    "picture.room:Allowed": {"most": None, "beside": 0, "each": 95, "instead": "ask for less"},
    "picture.room:memory_for": {"made": 0, "each": 95},
    "picture.room:check_room": {"samples": 1, "files": 1, "frames": 1},
    "picture.windows:windows": {"halo": 0, "stride": 1, "blend": 0},
    "picture.write": {"_LONGEST": {"jpegsave": 65500, "webpsave": 16383, "heifsave": 16384}, "_JPEG_BLOCK": 65000},
    "picture.write:write": {"quality": 95},
    "picture.turn": {
        "TURNS": {
            1: (False, False, False),
            2: (False, False, True),
            3: (False, True, True),
            4: (False, True, False),
            5: (True, False, False),
            6: (True, False, True),
            7: (True, True, True),
            8: (True, True, False),
        },
    },
}


def test_nothing_that_is_left_out_has_changed_its_meaning():
    assert differing(HELD) == {}

"""Claims that are open: the claim, the experiment and the expected result."""

from __future__ import annotations

from classicnets.text import N_

OPEN: list[tuple[str, str, str]] = [
    (
        N_("Two towers are better than one of half the width."),
        N_("`alexnet_2012_code` against `alexnet_2012_one_tower`, on ImageNet"),
        N_("1.7 and 1.2 points"),
    ),
    (
        N_("Response normalization, overlapping pooling and augmentation help AlexNet on ImageNet."),
        N_("`alexnet_2012_code` against its variants, on ImageNet; the studies above are about small networks"),
        N_("1.4 and 0.4 points, and over 1 point for the color noise (top-1)"),
    ),
]

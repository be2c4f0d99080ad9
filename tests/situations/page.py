"""All situations, and docs/situations.md, which is made of them."""

from __future__ import annotations

import clocks

ALL = [*clocks.SITUATIONS]

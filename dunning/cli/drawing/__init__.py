"""One customer's way through a policy as a picture: SVG by itself, or a page for any screen."""

from __future__ import annotations

from dunning.cli.drawing.page import page
from dunning.cli.drawing.story import Story, story_of
from dunning.cli.drawing.wide import wide

__all__ = ["Story", "page", "story_of", "wide"]

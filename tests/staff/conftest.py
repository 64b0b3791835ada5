"""An office for each test, on each database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests import browser
from tests.staff.office import Office, office

Opens = Callable[..., Office]


@pytest.fixture
def opens(migrated_url: str, tmp_path: Path) -> Iterator[Opens]:
    """Opens an office whose policy file says this of staff; it has looked once."""
    with ExitStack() as stack:

        def start(staff: str = "", *, looked: bool = True, **options: Any) -> Office:
            made = stack.enter_context(office(migrated_url, tmp_path, staff, **options))
            if looked:
                made.tick()
                made.clock.passes(minutes=1)
            return made

        yield start


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that look at a page in a browser are for machines that have one."""
    if browser.find() is not None:
        return
    left_out = [item for item in items if "chromium" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]

"""Fixtures for the tests of `classicnets serve`. They are skipped where the packages of the extra are missing."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from support.onnx_files import colors_onnx, sealed

if TYPE_CHECKING:
    from starlette.testclient import TestClient

PACKAGES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "httpx2")
MISSING = [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if MISSING and item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(MISSING)}"))


Clients = Callable[..., "TestClient"]


def image_bytes(color: str | tuple[int, int, int] = "red", size: int = 8, format: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (size, size), color).save(content, format)
    return content.getvalue()


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that names the strongest color of an image: red, green or blue."""
    return sealed(colors_onnx(tmp_path_factory.mktemp("served") / "colors.onnx", checksum="sha256"))


@pytest.fixture
def clients(model_file: Path) -> Iterator[Clients]:
    """Makes clients of a server in this process: clients(file, ..., token=..., option=value)."""
    from starlette.testclient import TestClient

    from classicnets.evaluation.onnx import OnnxClassifier
    from classicnets.serve.app import Settings, create
    from classicnets.serve.models import Source
    from classicnets.spec import ServeOptions

    with ExitStack() as stack:

        def start(
            *files: Path,
            token: str | None = None,
            pages: tuple[Path, ...] = (),
            write_page: Callable[..., None] | None = None,
            folder: Path | None = None,
            seconds: float = 100.0,
            **options: Any,
        ) -> TestClient:
            sources = [
                Source(
                    name=file.stem,
                    origin=file,
                    file=file,
                    open=OnnxClassifier,
                    page=dict(enumerate(pages)).get(i),
                    write_page=write_page,
                    folder=folder,
                )
                for i, file in enumerate(files or (model_file,))
            ]
            settings = Settings(
                sources=tuple(sources), options=ServeOptions(**options), token=token, watch_seconds=seconds
            )
            client = TestClient(create(settings), base_url="http://localhost", follow_redirects=False)
            return stack.enter_context(client)

        yield start


@pytest.fixture
def client(clients: Clients) -> TestClient:
    return clients()

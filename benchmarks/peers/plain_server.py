"""What one writes by hand to serve an exported file: FastAPI and onnxruntime, one call of the network for each request.

    python benchmarks/peers/plain_server.py FILE --port 8001

`POST /raw` takes the pixels of one square color image, row by row; `POST /predict` the bytes of an image file.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, Request
from PIL import Image


def application(file: Path) -> FastAPI:
    """The handlers for the network of a file."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    facts = json.loads(session.get_modelmeta().custom_metadata_map["classicnets"])
    side, classes = facts["preprocess"]["image_size"], facts["classes"]
    app = FastAPI()

    @app.post("/raw")
    async def raw(request: Request) -> dict[str, Any]:
        pixels = np.frombuffer(await request.body(), np.uint8).reshape(1, side, side, 3)
        (rows,) = session.run(["probabilities"], {"pixels": pixels})
        return {"probabilities": rows[0].tolist()}

    @app.post("/predict")
    async def predict(request: Request) -> dict[str, Any]:
        pixels = np.asarray(Image.open(io.BytesIO(await request.body())).convert("RGB"))
        (rows,) = session.run(["probabilities"], {"pixels": pixels[None]})
        best = np.argsort(-rows[0])[:3]
        return {"top": [{"label": classes[i], "probability": float(rows[0][i])} for i in best]}

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args()
    uvicorn.run(application(args.file), port=args.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()

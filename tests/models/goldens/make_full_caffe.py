"""What OpenCV's reader of Caffe models calculates from files at full size: those of `old_files.CAFFE`.

Run it in a separate environment (newer versions of OpenCV do not have the reader):

    python -m venv cv && cv/bin/pip install "opencv-python-headless<5"
    cv/bin/python tests/models/goldens/make_full_caffe.py

Stores the values before the softmax; `parity.py` compares them with ours.
"""

import cv2
import numpy as np
from golden_inputs import FOLDER, images
from old_files import CAFFE, caffemodel, prototxt
from old_files import FOLDER as FULL_SIZE

IMAGES = 2


def run(net):
    buffers = (np.frombuffer(each, np.uint8) for each in (prototxt(net).encode(), b"".join(caffemodel(net))))
    engine = cv2.dnn.readNetFromCaffe(*buffers)
    rows = []
    for image in images((IMAGES, *net.input), *net.range):
        engine.setInput(image[None])
        rows.append(engine.forward(net.logits).reshape(-1).copy())
    return np.stack(rows)


def main():
    outputs = {name: run(net) for name, net in CAFFE.items()}
    for name, rows in outputs.items():
        print(f"{name}: {rows.shape}, {rows.min():.4g} to {rows.max():.4g}, over images {rows.std(axis=0).mean():.4g}")
    engine = np.array(f"OpenCV {cv2.__version__}, cv2.dnn.readNetFromCaffe")
    np.savez_compressed(FOLDER / FULL_SIZE / "caffe.npz", engine=engine, **outputs)


if __name__ == "__main__":
    main()

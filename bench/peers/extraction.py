"""Features of JPEG photos by torchvision: reading, decoding, resizing and MobileNetV2, written as one array.

Usage: extraction.py SOURCE OUT WAY, which prints the seconds it took, and those of processors, without what precedes
them: the start of Python and PyTorch, and the preparation of the network; or extraction.py prepare PHOTOS DIR, which
writes two names of each photo of the benchmark's folder to DIR/photos and to DIR/photos.parquet. A SOURCE is one of
these two. A WAY is a number of worker processes of the DataLoader, beside as many threads of the network, and `pil` or
`v2` for the transforms, e.g. `1+pil`.
"""

import io
import os
import pathlib
import sys
import time

import numpy
import pyarrow
import pyarrow.parquet
import torch
import torchvision
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder

import photos

NAMES = 2
ROWS_PER_GROUP = 100


def prepare(source, folder):
    rows = {"image": [], "label": []}
    for path in sorted(source.glob("*/*.jpg")):
        if int(path.stem.split("-")[1]) < NAMES:
            copy = folder / "photos" / path.parent.name / path.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, copy)
            rows["image"].append({"bytes": path.read_bytes(), "path": path.name})
            rows["label"].append(int(path.parent.name))
    table = pyarrow.table(rows)
    pyarrow.parquet.write_table(table, folder / "photos.parquet", row_group_size=ROWS_PER_GROUP)


class Parquet(Dataset):
    """The images of a file as the Hugging Face hub has them."""

    def __init__(self, file, transform, tensors):
        self.images = pyarrow.parquet.read_table(file, columns=["image"])["image"].combine_chunks()
        self.transform, self.tensors = transform, tensors

    def __len__(self):
        return len(self.images)

    def __getitem__(self, item):
        encoded = self.images[item]["bytes"].as_py()
        if self.tensors:
            data = torch.frombuffer(bytearray(encoded), dtype=torch.uint8)
            return self.transform(torchvision.io.decode_jpeg(data, torchvision.io.ImageReadMode.RGB))
        return self.transform(Image.open(io.BytesIO(encoded)).convert("RGB"))


class Images(ImageFolder):
    """A folder's images alone."""

    def __getitem__(self, item):
        return super().__getitem__(item)[0]


def opened(source, tensors):
    transform = photos.TENSOR if tensors else photos.PIL
    if source.suffix == ".parquet":
        return Parquet(source, transform, tensors)
    return Images(source, transform, loader=photos.decoded) if tensors else Images(source, transform)


@torch.inference_mode()
def extract(source, out, workers, transforms):
    torch.set_num_threads(workers)
    model = torchvision.models.mobilenet_v2(weights=None)
    model.classifier = torch.nn.Identity()
    example = torch.zeros(photos.BATCH, 3, photos.SIZE, photos.SIZE)
    model = torch.jit.optimize_for_inference(torch.jit.trace(model.eval(), example))
    start, used = time.perf_counter(), processor_seconds()
    loader = DataLoader(opened(source, transforms == "v2"), photos.BATCH, num_workers=workers)
    numpy.save(out, torch.cat([model(batch) for batch in loader]).numpy())
    print(time.perf_counter() - start, processor_seconds() - used)


def processor_seconds():
    """Those of this process, and of its workers once they have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main():
    if sys.argv[1] == "prepare":
        return prepare(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
    workers, transforms = sys.argv[3].split("+")
    extract(pathlib.Path(sys.argv[1]), sys.argv[2], int(workers), transforms)


if __name__ == "__main__":
    main()

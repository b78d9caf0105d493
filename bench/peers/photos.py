"""Decoding and resizing of a folder of JPEG files by torchvision in a DataLoader.

Usage: photos.py WORKERS DIR pil|v2, or photos.py prepare DIR, which writes the folder: 10,000 files of 500 x 375 pixels
in ten classes, a thousand different ones, each under ten names.
"""

import os
import pathlib
import sys

import numpy
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import io as tvio
from torchvision import transforms as v1
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from serve import serve

SIZE, BATCH = 224, 64
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DIFFERENT, NAMES = 1_000, 10

PIL = v1.Compose([v1.Resize((SIZE, SIZE)), v1.ToTensor(), v1.Normalize(MEAN, STD)])
TENSOR = v2.Compose([
    v2.Resize((SIZE, SIZE), antialias=True),
    v2.ToDtype(torch.float32, scale=True),
    v2.Normalize(MEAN, STD),
])


def prepare(folder):
    """Blurred noise in several scales, which compresses to about the size of photographs."""
    random = numpy.random.RandomState(0)
    for number in range(DIFFERENT):
        image = numpy.zeros((375, 500, 3), numpy.float32)
        for cells, strength in [(4, 120), (24, 50), (120, 25)]:
            noise = random.randint(0, 256, (cells * 3 // 4, cells, 3)).astype(numpy.uint8)
            layer = Image.fromarray(noise).resize((500, 375), Image.BICUBIC)
            image += strength / 255 * (numpy.asarray(layer, numpy.float32) - 127)
        image += random.normal(0, 6, image.shape)
        photo = Image.fromarray(numpy.clip(image + 127, 0, 255).astype(numpy.uint8))
        first = folder / str(number % 10) / f"{number:04}-0.jpg"
        first.parent.mkdir(parents=True, exist_ok=True)
        photo.save(first, quality=90)
        for name in range(1, NAMES):
            os.link(first, first.with_name(f"{number:04}-{name}.jpg"))


def decoded(path):
    return tvio.decode_jpeg(tvio.read_file(path), tvio.ImageReadMode.RGB)


class Batches:
    """Batches of the first `items` files, around and around; persistent workers take any number."""

    def __init__(self, images):
        self.images, self.items = images, 0

    def __iter__(self):
        for start in range(0, self.items, BATCH):
            yield [item % self.images for item in range(start, min(start + BATCH, self.items))]


def main():
    if sys.argv[1] == "prepare":
        return prepare(pathlib.Path(sys.argv[2], "photos"))
    torch.set_num_threads(1)
    folder = pathlib.Path(sys.argv[2], "photos")
    if sys.argv[3] == "pil":
        images = ImageFolder(folder, PIL)
    else:
        images = ImageFolder(folder, TENSOR, loader=decoded)
    batches = Batches(len(images))
    loader = DataLoader(images, batch_sampler=batches, num_workers=int(sys.argv[1]), persistent_workers=True)

    def work(n):
        batches.items = n
        for _ in loader:
            pass

    serve(work)


if __name__ == "__main__":
    main()

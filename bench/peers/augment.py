"""Decoding and augmentation by torchvision in a DataLoader. Usage: augment.py WORKERS DIR pil|v2"""

import io
import pathlib
import random
import sys

import cv2
import numpy
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import io as tvio
from torchvision import transforms as v1
from torchvision.transforms import v2

from serve import serve

SIZE, BATCH = 128, 64
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Blur:
    """CIBHash's blur: OpenCV, 3 x 3, half of the time."""

    def __call__(self, image):
        if random.random() < 0.5:
            return image
        return cv2.GaussianBlur(numpy.asarray(image), (3, 3), random.uniform(0.1, 2.0))


PIL = v1.Compose([
    v1.RandomResizedCrop(SIZE, scale=(0.5, 1.0)),
    v1.RandomHorizontalFlip(),
    v1.RandomApply([v1.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.7),
    v1.RandomGrayscale(p=0.2),
    Blur(),
    v1.ToTensor(),
    v1.Normalize(MEAN, STD),
])
TENSOR = v2.Compose([
    v2.RandomResizedCrop(SIZE, scale=(0.5, 1.0), antialias=True),
    v2.RandomHorizontalFlip(),
    v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.7),
    v2.RandomGrayscale(p=0.2),
    v2.RandomApply([v2.GaussianBlur(3, (0.1, 2.0))], p=0.5),
    v2.ToDtype(torch.float32, scale=True),
    v2.Normalize(MEAN, STD),
])


class Images(Dataset):
    def __init__(self, folder, way):
        self.files = [path.read_bytes() for path in sorted(pathlib.Path(folder, "images").iterdir())]
        self.way = way

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        data = self.files[index]
        if self.way == "pil":
            return PIL(Image.open(io.BytesIO(data)).convert("RGB"))
        return TENSOR(tvio.decode_png(torch.frombuffer(bytearray(data), dtype=torch.uint8), tvio.ImageReadMode.RGB))


class Batches:
    """Batches of the first `items` draws, around and around the images; persistent workers take any number."""

    def __init__(self, images):
        self.images, self.items = images, 0

    def __iter__(self):
        for start in range(0, self.items, BATCH):
            yield [item % self.images for item in range(start, min(start + BATCH, self.items))]


torch.set_num_threads(1)
cv2.setNumThreads(1)
images = Images(sys.argv[2], sys.argv[3])
batches = Batches(len(images))
loader = DataLoader(images, batch_sampler=batches, num_workers=int(sys.argv[1]), persistent_workers=True)


def work(n):
    batches.items = n
    for batch in loader:
        pass


if __name__ == "__main__":
    serve(work)

"""Writes the seeds of the fuzz targets: small files in the forms that people have, from which mutations start.

    pip install numpy scipy h5py pyarrow safetensors 'pillow<13'
    python fuzz/seeds.py

Written with numpy 2.4.6, scipy 1.17.1, h5py 3.16.0, pyarrow 26.0.1, safetensors 0.8.0 and Pillow 12.3.0. Files of MATLAB are
written as by datasets/tests/fixtures/mat.py, with fewer items.
"""

import gzip
import io
import json
import sys
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.numpy
from PIL import Image
from scipy.io import savemat

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "datasets/tests/fixtures"))
import mat  # noqa: E402


def put(target, name, content):
    path = HERE / "corpus" / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def experiments():
    put("experiment", "grid.toml", """dataset = "toy"
bits = [16, 0x20]
seeds = [0, 1]
[image]
encoder = "grey"
[train]
epochs = 20
drops = [0.5]
[eval]
map_at = "all"
[[method]]
name = "waves"
label = "Waves"
params = { loss = "hinge" }
grid = { tau = [0.2, 0.3], "train.rate" = [1e-3, 0.01], "image.views" = [2, 4] }
zip = { steps = [1, 2], "train.batch_size" = [32, 64] }
when = { "image.views" = { tau = 0.2 } }
exclude = [{ tau = 0.3, bits = 16 }]
[[method]]
name = "prism"
bits = [16]
""")
    put("experiment", "search.toml", """dataset = "pairs"
protocol = "toy-2"
split_seed = 3
bits = [16]
search = "sobol"
trials = 4
[pruning]
method = "asha"
min_epochs = 2
eta = 2
[[method]]
name = "waves"
grid = { tau = { low = 1e-4, high = 1e-1, scale = "log" }, steps = { low = 1, high = 9 } }
[[method]]
name = "bridge"
search = "tpe"
[[external]]
label = "Theirs"
codes = "codes/{bits}_{seed}.npz#{side}"
""")
    put("experiment", "wrong.toml", 'extends = "base.toml"\ndataset = "toys"\nbits = [0, -1]\n[data]\nsize = 0\n[[method]]\n')


def run_dirs():
    run = "nsh-b16-s0-1f0c2a9b7d3e"
    metrics = {"i2i": {"metrics": {"map_at_k": 0.5}, "curves": {"ranks": [1.0, 2.0]}}}
    counts = {"items": 4, "distinct": 2, "most_common": 2, "constant_bits": 0, "zero_outputs": 0, "collapsed": False}
    put("run_dir", "result.json", json.dumps({
        "schema": 2, "run": run, "status": "finished", "epoch": 3, "epochs_done": 4, "test": metrics,
        "validation": metrics, "codes": {"image": counts}, "encoding": "own",
        "other_encodings": {"x": {"test": metrics, "validation": metrics, "codes": {}}},
        "seconds": {"train": 1.5}, "attempts": 1, "provenance": {"device": "cpu"}}, indent=2))
    put("run_dir", "metrics.jsonl", '{"step":1,"values":{"train/loss":0.5}}\n{"step":2,"values":{"train/loss":null}}\n')
    put("run_dir", "config.json", json.dumps({
        "schema": 2, "method": "nsh", "revision": 1, "params": {"tau": 0.3}, "bits": 16, "seed": 0, "dataset": "shapes",
        "dataset_identity": "1", "protocol": "shapes-1", "encoders": {"image": {}}, "train": {"epochs": 3}, "eval": {}}))
    neighbors = [{"query": 1, "average_precision": 0.5, "items": [2, 3], "relevant": [True, False]}]
    put("run_dir", "queries.json", json.dumps({
        "tasks": {"i2i": {"average_precision": [0.5, 1.0], "best": neighbors, "worst": neighbors}}}))


def requests():
    put("request", "get", b"GET /search?text=red+bag%21&top=3 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n")
    put("request", "post", b"POST /search HTTP/1.1\r\nHost: localhost:8080\r\nOrigin: http://localhost:8080\r\n"
                           b"Content-Length: 5\r\n\r\n12345")
    put("request", "chunked", b"POST / HTTP/1.1\r\nhost: [::1]:8080\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")


def images():
    pixels = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3) * 4
    exif = Image.Exif()
    exif[0x0112] = 6
    for form, options in [("png", {"exif": exif}), ("jpeg", {"exif": exif, "quality": 50}), ("webp", {"lossless": True}),
                          ("gif", {}), ("bmp", {}), ("tiff", {"compression": "tiff_lzw"})]:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, form, **options)
        put("image", f"color.{form}", buffer.getvalue())
    for name, mode, form in [("grey.png", "L", "png"), ("palette.png", "P", "png"), ("grey.jpeg", "L", "jpeg"),
                             ("lossy.webp", "RGB", "webp"), ("cmyk.jpeg", "CMYK", "jpeg")]:
        buffer = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(buffer, form)
        put("image", name, buffer.getvalue())


def lists():
    put("image_list", "hot.txt", "".join(f"{item}.png {item % 2} {1 - item % 2} 0\n" for item in range(6)))
    put("image_list", "number.txt", "".join(f"{item}.png {item % 3}\n" for item in range(6)))
    put("image_list", "gaps.txt", "0.png\t1 0 \r\n\n a b.png  0 1\n1.png 0 1\n2.png 1 1\n")


def tables():
    rows = [(f"{item}.png", f"number {item}", "cat" if item % 2 else "dog", "a|b", item % 2) for item in range(6)]
    head = ["file", "title", "kind", "tags", "hot"]
    put("table", "table.csv", "\n".join(",".join(map(str, row)) for row in [head, *rows]) + "\n")
    put("table", "table.tsv", "\n".join("\t".join(map(str, row)) for row in [head, *rows[:3]]) + "\n")
    put("table", "quotes.csv", 'file,title,kind,tags,hot\n0.png,"a ""b"", c",x,,1\n1.png,"two\nlines",x,a|,0\n2.png,é,,,\n')
    lines = [dict(zip(head, [file, [title, "x"], kind, tags.split("|"), [hot, 1 - hot]])) for file, title, kind, tags, hot in rows]
    put("table", "table.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


def parquets():
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("image", image), ("label", pa.int64()), ("captions", pa.list_(pa.string())),
                        ("title", pa.string()), ("hot", pa.list_(pa.int8()))])
    content = (HERE / "corpus/image/grey.png").read_bytes()
    rows = [{"image": {"bytes": content, "path": "a"}, "label": row % 2, "captions": ["a", "b"][: 1 + row % 2],
             "title": f"t{row}", "hot": [row % 2, 1 - row % 2]} for row in range(4)]
    # One form of compression, pages and encodings each.
    for name, options in [("plain", {"compression": "none", "use_dictionary": False}),
                          ("snappy", {"compression": "snappy", "row_group_size": 2}),
                          ("zstd", {"compression": "zstd", "data_page_version": "2.0"}),
                          ("delta", {"compression": "none", "use_dictionary": False, "write_page_checksum": True,
                                     "column_encoding": {"label": "DELTA_BINARY_PACKED", "title": "DELTA_BYTE_ARRAY"}})]:
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer, store_schema=False, write_statistics=False, **options)
        put("parquet", f"{name}.parquet", buffer.getvalue())


def arrays():
    def npy(values):
        buffer = io.BytesIO()
        np.save(buffer, values)
        return buffer.getvalue()

    features = np.arange(8, dtype=np.float32).reshape(4, 2)
    hot = np.eye(4, dtype=np.uint8)
    many = {"f4": features, "f2": features.astype(np.float16), "i1": np.array([[1, -1]] * 4, np.int8),
            "i8": np.arange(4), "u1": hot, "f8_fortran": np.asfortranarray(features.astype(np.float64)),
            "views": features.reshape(2, 2, 2)}
    for name, values in many.items():
        put("npy", f"{name}.npy", npy(values))
    for name, save in [("stored", np.savez), ("deflated", np.savez_compressed)]:
        buffer = io.BytesIO()
        save(buffer, a=features, b=hot)
        put("npz", f"{name}.npz", buffer.getvalue())
    buffer = io.BytesIO()
    np.savez_compressed(buffer, a=np.zeros((64, 16), np.float32))
    put("npz", "zeros.npz", buffer.getvalue())
    put("safetensors", "two.safetensors", safetensors.numpy.save({"a": features, "b": hot}))
    put("safetensors", "half.safetensors", safetensors.numpy.save({"a": features.astype(np.float16)}, {"format": "pt"}))
    put("safetensors", "indices.safetensors", safetensors.numpy.save({"a": np.arange(4)}))


def matlab():
    paths = [f"/x/photos/{item}.png" for item in range(4)]
    hot = np.eye(2, dtype=np.uint8)[[0, 1, 0, 1]]
    captions = ["a cat", "a dog", "grüße", ""]
    cells = np.empty(4, dtype=object)
    for at, caption in enumerate(captions):
        cells[at] = np.array([caption, "x"], dtype=object)
    for name, compress, caption in [("plain", False, captions), ("cells", True, cells)]:
        buffer = io.BytesIO()
        savemat(buffer, {"index": paths, "caption": caption, "label": hot.astype(np.float32)}, do_compression=compress)
        put("mat_v5", f"{name}.mat", buffer.getvalue())
    work = HERE / "corpus" / "mat_v73"
    work.mkdir(parents=True, exist_ok=True)
    with mat.matlab_file(work / "matlab.mat") as file:
        mat.array(file, "index", mat.characters(paths), "char")
        mat.array(file, "label", hot.astype(np.float64), "double", chunks=(2, 2), compression="gzip", shuffle=True)
        group = file.create_group("#refs#")
        of_items = [mat.array(group, f"c{at}", mat.characters([text or " "]), "char").ref for at, text in enumerate(captions)]
        mat.array(file, "caption", np.array([of_items], dtype=h5py.ref_dtype), "cell")
    with mat.matlab_file(work / "pixels.mat") as file:
        pixels = np.arange(4 * 3 * 2 * 2, dtype=np.uint8).reshape(2, 2, 3, 4)
        mat.array(file, "IAll", pixels, "uint8", chunks=(2, 3, 2, 2), compression="gzip")
        mat.array(file, "label", hot.astype(np.float64), "double")
        mat.array(file, "caption", mat.characters(captions), "char")
    with h5py.File(work / "h5py.h5", "w", libver="latest") as file:
        file["label"] = hot
        file["index"] = paths
        file["caption"] = captions


def idx():
    put("idx", "images", b"\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x01abcd")
    put("idx", "labels", b"\0\0\x08\x01\0\0\0\x02\x01\x02")
    put("idx", "images.gz", gzip.compress(b"\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x01abcd", mtime=0))
    put("idx", "labels.gz", gzip.compress(b"\0\0\x08\x01\0\0\0\x02\x01\x02", mtime=0))


def coco():
    images = [{"id": id, "file_name": f"{id}.jpg", "width": 1} for id in [3, 1, 2]]
    objects = [{"image_id": id, "category_id": 1 + id % 2, "area": 0.5, "caption": f"number {id}"} for id in [1, 2, 3]]
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": "bicycle"}]
    put("coco", "train.json", json.dumps({"info": {}, "images": images, "annotations": objects, "categories": categories}))
    put("coco", "none.json", '{"images": [], "annotations": [], "categories": []}')


for part in [experiments, run_dirs, requests, images, lists, tables, parquets, arrays, matlab, idx, coco]:
    part()

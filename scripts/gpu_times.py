"""What scripts/gpu-check.py measures: our work beside PyTorch's on the same device, and a grid of trainings."""

import json
import math
import os
import sys
import time

from gpu_process import Failed, OutOfTime, Served

CORES = os.cpu_count()

# Named after CIFAR-10's protocol of CIBHash: 5,000 items with ten views each, 50,000 more and 10,000 queries.
GRID = """
dataset = "synthetic"
bits = [16, 32, 48, 64]
seeds = {seeds}
[image]
encoder = "mobilenet_v2"
weights = "mobilenet_v2.safetensors"
image_size = {size}
views = {views}
[train]
epochs = {epochs}
validate_every = 20
learning_rate = 1e-4
[[method]]
name = "cibhash"
"""

# What is switched off to measure what it gains.
WAYS = {"before": "events,pool,kernels", "without kernels": "kernels", "now": ""}


class Times:
    """Measures, telling (name, number, unit, remark) as it goes."""

    def __init__(self, pack, device, env, work):
        self.pack, self.device, self.env, self.work = pack, device, env, work
        self.gpu, self.started = device != "cpu", []

    def ours(self, *workload, off="", cudnn="off"):
        command = [self.pack / "bin" / "hashlab-bench", *workload, "--device", self.device]
        return self.start(command, dict(self.env, HASHLAB_CUDA_OFF=off, HASHLAB_CUDNN=cudnn))

    def peer(self, script, *arguments):
        return self.start([sys.executable, self.pack / "peers" / script, CORES, *arguments, self.device], self.env)

    def start(self, command, env):
        self.started.append(Served(command, env))
        return self.started[-1]

    def stop(self):
        """Ends all workloads, also those that a measurement left behind when its time was over."""
        for side in self.started:
            side.close()
        self.started = []

    def heads(self, clock):
        """Steps of CIBHash's head, before and after each improvement, beside PyTorch's."""
        for dim in [512, 4096] if self.gpu else [64]:
            sides = {way: self.ours("head", dim, off=off) for way, off in WAYS.items()}
            sides["PyTorch eager"] = self.peer("head.py", dim, "eager")
            found = {}
            for way, side in sides.items():
                found[way], remark = milliseconds(side, clock)
                yield f"head {dim}→1024→64, {way}", found[way], "ms", remark
            yield f"head {dim}→1024→64, now ÷ PyTorch", found["now"] / found["PyTorch eager"], "", "at most 0.5"
            stack = 16 if self.gpu else 2
            taken, remark = milliseconds(self.ours("head", dim, stack), clock)
            yield f"head {dim}→1024→64, of {stack} stacked, per run", taken / stack, "ms", remark
            yield f"head {dim}→1024→64, stacked ÷ PyTorch", taken / stack / found["PyTorch eager"], "", "at most 0.05"
            missing = [way for way in WAYS if math.isnan(found[way])]
            if missing or math.isnan(taken):
                raise Failed(f"head {dim}: no time {', '.join(missing or ['stacked'])}")

    def networks(self, clock, before=True):
        """Forward passes of frozen networks, in each type, beside PyTorch's with images stored channels last."""
        size, batch = (224, 128) if self.gpu else (32, 2)
        names = ["resnet50", "vit_b_16", "vgg16"] if self.gpu else ["resnet18"]
        types = {"bf16": (["--compute", "bf16"], "bf16"), "tf32": (["--tf32"], "tf32"), "f32": ([], "exact")}
        rows = [(name, kind) for kind in (types if self.gpu else ["f32"]) for name in names]

        def start(row):
            name, kind = row
            words, way = types[kind]
            way = f"channels_last+{way}" if self.gpu else "nchw"
            return self.ours("forward", name, size, batch, *words), self.peer("forward.py", name, size, batch, way)

        waiting, missing = start(rows[0]), []
        for index, row in enumerate(rows):
            sides, title = waiting, f"{row[0]} {row[1]}, {size} px, batch {batch}"
            for side in sides:
                side.ready(clock)
            # The next ones prepare themselves on the processor while these are measured, but not their first passes.
            waiting = start(rows[index + 1]) if index + 1 < len(rows) else None
            mine, remark = milliseconds(sides[0], clock)
            yield title, mine, "ms", remark
            theirs, remark = milliseconds(sides[1], clock)
            yield f"{title}, PyTorch", theirs, "ms", remark
            yield f"{title}, ours ÷ PyTorch", mine / theirs, "", "at most 1.25"
            missing += [title] if math.isnan(mine) else []
        if before and self.gpu:
            side = self.ours("forward", "resnet50", size, batch, "--compute", "bf16", off=WAYS["before"])
            taken, remark = milliseconds(side, clock)
            yield f"resnet50 bf16, {size} px, batch {batch}, before", taken, "ms", remark
        if missing:
            raise Failed(f"no time of {', '.join(missing)}")

    def cudnn_times(self, clock):
        """The same networks with cuDNN's convolutions, beside ours without; those that have large windows."""
        size, batch = (224, 128) if self.gpu else (32, 2)
        types = {"bf16": ["--compute", "bf16"], "tf32": ["--tf32"], "f32": []}
        for kind in types if self.gpu else ["f32"]:
            for name in ["vgg16", "resnet50"] if self.gpu else ["resnet18"]:
                workload = ["forward", name, size, batch, *types[kind]]
                yield from self.with_and_without_cudnn(clock, f"{name} {kind}, {size} px, batch {batch}", workload)

    def with_and_without_cudnn(self, clock, title, workload):
        sides = {way: self.ours(*workload, cudnn=way) for way in (["off", "on"] if self.gpu else ["off"])}
        found = {}
        for side in sides.values():
            side.ready(clock)  # so that none prepares itself while another is measured
        for way, side in sides.items():
            found[way], remark = milliseconds(side, clock)
            yield f"{title}, cuDNN {way}", found[way], "ms", remark
        if math.isnan(found["off"]):
            raise Failed(f"no time of {title}")
        if "on" in found:
            yield f"{title}, cuDNN on ÷ off", found["on"] / found["off"], "", ""

    def fine_tuning(self, clock):
        """Training steps of whole networks with frozen norms, beside PyTorch's with automatic mixed precision."""
        size, batch = (224, 128) if self.gpu else (32, 2)
        for name in ["resnet18", "resnet50"] if self.gpu else ["resnet18"]:
            title = f"{name} fine-tuned, {'bf16' if self.gpu else 'f32'}, {size} px, batch {batch}"
            kind = ["--compute", "bf16"] if self.gpu else []
            way = "channels_last+autocast+fused" if self.gpu else "nchw"
            found = {}
            for row in self.with_and_without_cudnn(clock, title, ["finetune", name, size, batch, *kind]):
                found[row[0]] = row[1]
                yield row
            theirs, remark = milliseconds(self.peer("finetune.py", name, size, batch, way), clock)
            yield f"{title}, PyTorch", theirs, "ms", remark
            best = min(time for row, time in found.items() if "÷" not in row and not math.isnan(time))
            yield f"{title}, ours ÷ PyTorch", best / theirs, "", "at most 1.5"

    def batches(self, clock):
        """Images per second of the networks that extraction runs, by the number that goes through together."""
        rows = [("mobilenet_v2", 128, [64, 128, 256, 512]), ("resnet50", 224, [32, 64, 128])]
        for name, size, batches in rows if self.gpu else [("mobilenet_v2", 32, [2])]:
            sides = [(batch, self.ours("forward", name, size, batch)) for batch in batches]
            for batch, side in sides:
                if not side.ready(clock):
                    raise Failed(side.said())
                yield f"{name} f32, {size} px, rate at batch {batch}", batch / side.measure(clock, 0.2, 3), "images/s", ""
                side.close()

    def program(self, clock, *arguments, runs="grid-runs"):
        cache = self.work / "grid-runs" / "cache"
        places = ["--runs", self.work / runs, "--cache-dir", cache]
        command = [self.pack / "bin" / "hashlab-synthetic", *places, *arguments]
        return clock.run(command, env=self.env, cwd=self.work)

    def grid(self, clock):
        """48 trainings of 60 epochs with the extraction of their features."""
        prepared = clock.run([self.pack / "bin" / "hashlab-bench", "prepare", self.work], env=self.env)
        if prepared.returncode != 0:
            raise Failed(prepared.stderr[-300:])
        sizes = {"seeds": list(range(12)), "size": 128, "views": 10, "epochs": 60}
        sizes = sizes if self.gpu else {"seeds": [0], "size": 16, "views": 2, "epochs": 1}
        experiment = self.work / "grid.toml"
        experiment.write_text(GRID.format(**sizes))
        runs, images = 4 * len(sizes["seeds"]), 60_000 + 5_000 * sizes["views"]

        start = time.monotonic()
        done = self.program(clock, "features", experiment, "--device", self.device, "--out", self.work / "grid-features")
        if done.returncode != 0:
            raise Failed(f"features: {done.stderr[-400:]}")
        extraction = time.monotonic() - start
        yield f"extraction, mobilenet_v2 f32, {sizes['size']} px", images / extraction, "images/s", "at least 15,000"

        start = time.monotonic()
        arguments = ["sweep", experiment, "--device", self.device, "--jobs", min(12, CORES)]
        try:
            done = self.program(clock, *arguments)
        except OutOfTime:
            finished = sum("run" in json.loads(line) for line in self.results())
            seconds = time.monotonic() - start
            yield f"grid of {runs} trainings, not ended: per finished one", seconds / max(1, finished), "s", f"{finished} finished"
            raise
        if done.returncode != 0:
            raise Failed(f"sweep: {done.stderr[-400:]}")
        seconds = time.monotonic() - start
        yield f"grid of {runs} trainings of {sizes['epochs']} epochs", seconds, "s", ""
        yield "grid with its extraction", seconds + extraction, "s", "less than 90"

    def stacked_grid(self, clock):
        """The grid again, on the features that are there: runs of a code length stacked."""
        experiment = self.work / "grid.toml"
        if not experiment.exists():
            for _ in self.grid(clock):
                pass
        arguments = ["sweep", experiment, "--device", self.device, "--stack", 12, "--jobs", 4]
        start = time.monotonic()
        done = self.program(clock, *arguments, runs="stacked-runs")
        if done.returncode != 0:
            raise Failed(f"sweep: {done.stderr[-400:]}")
        yield "grid of trainings, stacked", time.monotonic() - start, "s", ""

    def results(self):
        return [line for path in (self.work / "grid-runs").rglob("results.jsonl") for line in path.read_text().splitlines()]


def milliseconds(side, clock):
    """Milliseconds per iteration of a workload, which is then ended; without any, why."""
    try:
        if not side.ready(clock):
            return math.nan, side.said().splitlines()[-1]
        return 1000 * side.measure(clock), ""
    except OutOfTime:
        raise
    except Failed as reason:
        return math.nan, str(reason).splitlines()[-1]
    finally:
        side.close()

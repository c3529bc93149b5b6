"""Two processes of one thread against one process of two threads, and the bytes that the two exchange in a step.

    python -m benchmarks.processes --store store
    python -m benchmarks.processes --store store --preset large --batch-size 64
    python -m benchmarks.processes --store store --link-ms 2 --link-mb 100

Trains stage 1, then stages 2 and 3 from its weights, for --windows windows each, in turn. With --link-ms, the latency
of a message, two processes train over a simulated link as well (`benchmarks.slow_link`). The rate that
`benchmarks.scaling` predicts for it, from the time without the link and that of the messages, stands beside it.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.slow_link import ring_seconds
from benchmarks.timing import machine, parse_arguments, print_table
from models.checkpoint import read_checkpoint
from models.weight_files import hybrid_path, pretrained_file

ROOT = Path(__file__).resolve().parents[1]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
ALONE, TOGETHER, LINKED = "1 process, 2 threads", "2 processes, 1 thread", "2 over the link"
STAGES = {"train_cvae.py": "cvae", "train_cgan.py": "cgan", "train_hybrid.py": "hybrid"}
# The weights files of what a stage updates in a step, with the number of updates.
UPDATES = {"train_cvae.py": {"cvae": 1}, "train_cgan.py": {"generator": 1, "critic": 5}}
UPDATES["train_hybrid.py"] = {"cvae": 1, **UPDATES["train_cgan.py"]}


def windows_per_second(program: str, launcher: list[str], words: list[str], runs: Path) -> float:
    threads = "1" if launcher else "2"
    command = [sys.executable, *launcher, program, *words]
    command += ["--runs", str(runs), "--threads", threads]
    subprocess.run(
        command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": threads}, check=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    epochs = (runs / STAGES[program] / "epochs.jsonl").read_text().splitlines()
    return json.loads(epochs[-1])["examples_per_second"]  # of the second epoch: the first one begins slowly


def exchanged(program: str, checkpoints: Path) -> list[int]:
    """Bytes of each message of a step: the gradients of a model."""
    messages = []
    for kind, updates in UPDATES[program].items():
        path = checkpoints / pretrained_file(kind)
        if program == "train_hybrid.py":
            path = hybrid_path(checkpoints, kind, 32)
        weights = read_checkpoint(path)["weights"].items()  # the generator's prior is the CVAE's
        sizes = (each.numel() for name, each in weights if kind != "generator" or not name.startswith("prior."))
        messages += updates * [4 * sum(sizes)]
    return messages


def main() -> None:
    given = parse_arguments(
        __doc__, store=("store", "roll store"), preset=("paper", "preset"), batch_size=(512, "windows in a step"),
        windows=(8192, "windows in an epoch"), rounds=(3, "trainings of each side"),
        link_ms=(0.0, "milliseconds of a message over a simulated link; 0: no link"),
        link_mb=(100.0, "its bandwidth, in 10^6 bytes per second"),
    )  # fmt: skip
    sides, rows = {ALONE: [], TOGETHER: TORCHRUN}, []
    if given.link_ms:
        link = ["-m", "benchmarks.slow_link", str(given.link_ms), str(given.link_mb)]
        sides[LINKED] = [*TORCHRUN, *link]
    with tempfile.TemporaryDirectory() as folder:
        for program in STAGES:
            words = ["--store", str(Path(given.store).resolve()), "--checkpoints", folder, "--preset", given.preset]
            words += ["--batch-size", str(given.batch_size), "--epoch-windows", str(given.windows), "--restart"]
            words += ["--epochs", "2", *(["--seq-len", "32"] if program != "train_cgan.py" else [])]
            rates = {side: [] for side in sides}
            for number in range(given.rounds):
                for place, (side, launcher) in enumerate(sides.items()):
                    runs = Path(folder) / f"runs{number}{place}"
                    rates[side].append(windows_per_second(program, launcher, words, runs))
            best = {side: max(of_side) for side, of_side in rates.items()}
            sent = exchanged(program, Path(folder))
            row = [program, *(f"{rate:,.0f}" for rate in best.values()), f"{best[TOGETHER] / best[ALONE]:.2f}"]
            row.append(f"{sum(sent):,}")
            if given.link_ms:
                link_seconds = sum(ring_seconds(each, 2, given.link_ms / 1e3, given.link_mb * 1e6) for each in sent)
                row.append(f"{given.batch_size / (given.batch_size / best[TOGETHER] + link_seconds):,.0f}")
            rows.append(row)
    columns = ["", *(f"{side}, windows/s" for side in sides), "ratio", "bytes of gradients a step"]
    columns += ["predicted over the link"] if given.link_ms else []
    print_table(f"{given.preset}, batches of {given.batch_size}, best of {given.rounds}; {machine()}", columns, rows)


if __name__ == "__main__":
    main()

"""Two processes of one thread against one process of two threads, and the bytes that the two exchange in a step.

    python -m benchmarks.processes --store store
    python -m benchmarks.processes --store store --preset large --batch-size 64

Trains stage 1, then stages 2 and 3 from its weights, for --windows windows each, in turn.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.timing import machine, parse_arguments, print_table
from models.checkpoint import read_checkpoint
from models.weight_files import hybrid_path, pretrained_file

ROOT = Path(__file__).resolve().parents[1]
SIDES = {"1 process, 2 threads": [], "2 processes, 1 thread": ["-m", "torch.distributed.run", "--standalone"]}
STAGES = {"train_cvae.py": "cvae", "train_cgan.py": "cgan", "train_hybrid.py": "hybrid"}
# The weights files of what a stage updates in a step, with the number of updates.
UPDATES = {"train_cvae.py": {"cvae": 1}, "train_cgan.py": {"generator": 1, "critic": 5}}
UPDATES["train_hybrid.py"] = {"cvae": 1, **UPDATES["train_cgan.py"]}


def windows_per_second(program: str, side: str, words: list[str], runs: Path) -> float:
    launcher = SIDES[side]
    threads = "1" if launcher else "2"
    command = [sys.executable, *launcher, *(["--nproc-per-node=2"] if launcher else []), program, *words]
    command += ["--runs", str(runs), "--threads", threads]
    subprocess.run(
        command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": threads}, check=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    epochs = (runs / STAGES[program] / "epochs.jsonl").read_text().splitlines()
    return json.loads(epochs[-1])["examples_per_second"]  # of the second epoch: the first one begins slowly


def exchanged_bytes(program: str, checkpoints: Path) -> int:
    """Bytes of all gradients that are summed in a step."""
    total = 0
    for kind, updates in UPDATES[program].items():
        path = checkpoints / pretrained_file(kind)
        if program == "train_hybrid.py":
            path = hybrid_path(checkpoints, kind, 32)
        weights = read_checkpoint(path)["weights"].items()  # the generator's prior is the CVAE's
        sizes = (each.numel() for name, each in weights if kind != "generator" or not name.startswith("prior."))
        total += updates * 4 * sum(sizes)
    return total


def main() -> None:
    given = parse_arguments(
        __doc__, store=("store", "roll store"), preset=("paper", "preset"), batch_size=(512, "windows in a step"),
        windows=(8192, "windows in an epoch"), rounds=(3, "trainings of each side"),
    )  # fmt: skip
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for program in STAGES:
            words = ["--store", str(Path(given.store).resolve()), "--checkpoints", folder, "--preset", given.preset]
            words += ["--batch-size", str(given.batch_size), "--epoch-windows", str(given.windows), "--restart"]
            words += ["--epochs", "2", *(["--seq-len", "32"] if program != "train_cgan.py" else [])]
            rates = {side: [] for side in SIDES}
            for number in range(given.rounds):
                for side in SIDES:
                    runs = Path(folder) / f"runs{number}{len(rates[side])}{side[0]}"
                    rates[side].append(windows_per_second(program, side, words, runs))
            one, two = (max(of_side) for of_side in rates.values())
            sent = exchanged_bytes(program, Path(folder))
            rows.append([program, f"{one:,.0f}", f"{two:,.0f}", f"{two / one:.2f}", f"{sent:,}"])
    columns = ("", *(f"{side}, windows/s" for side in SIDES), "ratio", "bytes of gradients a step")
    print_table(f"{given.preset}, batches of {given.batch_size}, best of {given.rounds}; {machine()}", columns, rows)


if __name__ == "__main__":
    main()

"""Programs run by several processes of torchrun."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}


def launched(n: int, *command: object) -> subprocess.CompletedProcess[str]:
    """Run a program of the repository with n processes; with one, without torchrun."""
    words = [*TORCHRUN, f"--nproc-per-node={n}"] if n > 1 else [sys.executable]
    return subprocess.run([*words, *map(str, command)], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)

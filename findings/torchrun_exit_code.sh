#!/usr/bin/env bash
# torchrun replaces the exit code of its workers by 1.
#
# Guess: torchrun ends with the exit code of the worker that failed, so that a batch system can tell a training that a
# signal stopped (128 + signal, to be submitted again) from one with a wrong option (2).
# Observed with torch 2.13.0: a worker's exit code 75 and 143 both give exit code 1 of torchrun; the worker's own code
# stands in the launcher's report on standard error alone. Two workers that exit with 0 give 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cat > "$folder/worker.py" <<'PYTHON'
import os
import sys

sys.exit(int(sys.argv[1]) if os.environ["RANK"] == "0" else 0)
PYTHON
"$folder/venv/bin/python" -c 'import torch; print("torch", torch.__version__)'
for code in 0 75 143; do
    found=0
    "$folder/venv/bin/python" -m torch.distributed.run --standalone --nproc-per-node=2 "$folder/worker.py" "$code" \
        2> "$folder/errors.txt" || found=$?
    echo "worker $code, torchrun $found"
    [ "$found" = "$((code > 0))" ] || { echo "changed"; exit 1; }
    [ "$code" = 0 ] || grep -q "exitcode  : $code" "$folder/errors.txt" || { echo "changed: the report"; exit 1; }
done

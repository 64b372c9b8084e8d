"""lleaves in a process of its own, for it needs an older llvmlite than the kernel; it is told how many calls to time.

INTERPRETER benchmarks/trees_lleaves.py FOLDER    (with model.txt, and ROWS.npy for every size of a batch)
"""

import sys
import time
from pathlib import Path

import lleaves
import numpy as np


def main(folder: Path) -> None:
    """Compile, then answer each line, rows and a number of calls, with the seconds that they took."""
    model = lleaves.Model(model_file=str(folder / "model.txt"))
    model.compile(fblocksize=34)
    batches = {int(path.stem): np.load(path).astype(np.float64) for path in folder.glob("*.npy")}
    print("ready", flush=True)
    for line in sys.stdin:
        rows, calls = (int(word) for word in line.split())
        matrices = batches[rows]
        start = time.perf_counter()
        for i in range(calls):
            model.predict(matrices[i % len(matrices)], n_jobs=1)
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

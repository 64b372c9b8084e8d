"""lleaves in a process of its own, for it needs an older llvmlite than the kernel; it is told how many calls to time.

INTERPRETER benchmarks/trees_lleaves.py MODEL.txt MATRICES.npy
"""

import sys
import time

import lleaves
import numpy as np


def main(model_file: str, matrices_file: str) -> None:
    """Compile, then answer each line, a number of calls, with the seconds that they took."""
    model = lleaves.Model(model_file=model_file)
    model.compile(fblocksize=34)
    matrices = np.load(matrices_file).astype(np.float64)
    model.predict(matrices[0], n_jobs=1)
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        for i in range(int(line)):
            model.predict(matrices[i % len(matrices)], n_jobs=1)
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

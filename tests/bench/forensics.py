"""How long it takes to find out what an adapter is made of.

    OMP_NUM_THREADS=1 python tests/bench/forensics.py --shape 135m --known 50
    OMP_NUM_THREADS=1 python tests/bench/forensics.py --shape 135m --known 200 --cached
    OMP_NUM_THREADS=1 python tests/bench/forensics.py --shape 7b --known 50 --folder /large/disk

Draws adapters in bfloat16 (135m: rank 8, 30 layers, all linear modules; 7b: rank 16, 32 layers; 10 MB and 80 MB each), merges some
of them and prints one JSON line per question: CPU seconds of the process, opening the files included, and the wall clock, which
on a busy machine is longer. `--cached` adds how long one more adapter takes when the inner products of all others are on disk.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from monitor.adapters.composition import Composition, identify
from monitor.adapters.gram import Gram
from monitor.adapters.weights import AdapterWeights
from monitor.lab import tensors

Factors = dict[str, tuple[np.ndarray, np.ndarray]]
WEIGHTS = {"k3": 0.7, "k11": 1.3, "k17": 0.4, "k5": 0.9, "k29": -0.3}
SHAPES = {"135m": (576, 192, 1536, 30, 8), "7b": (4096, 4096, 11008, 32, 16)}
"""Width, width of keys and values, width inside the MLP, layers, rank."""


def shapes(kind: str) -> tuple[dict[str, tuple[int, int]], int]:
    """Module -> (outputs, inputs), and the rank."""
    width, narrow, wide, layers, rank = SHAPES[kind]
    one = {
        "self_attn.q_proj": (width, width), "self_attn.k_proj": (narrow, width), "self_attn.v_proj": (narrow, width),
        "self_attn.o_proj": (width, width), "mlp.gate_proj": (wide, width), "mlp.up_proj": (wide, width),
        "mlp.down_proj": (width, wide),
    }  # fmt: skip
    return {f"layers.{layer}.{name}": shape for layer in range(layers) for name, shape in one.items()}, rank


def draw(kind: str, seed: int) -> Factors:
    """Factors from a seed."""
    modules, rank = shapes(kind)
    rng = np.random.default_rng(seed)
    return {
        module: (
            rng.standard_normal((rank, inputs), dtype=np.float32) / 30,
            rng.standard_normal((outputs, rank), dtype=np.float32) / 30,
        )
        for module, (outputs, inputs) in modules.items()
    }


def write(folder: Path, factors: Factors) -> Path:
    """An adapter as PEFT writes it, in bfloat16."""
    folder.mkdir(parents=True, exist_ok=True)
    named = {}
    for module, (a, b) in factors.items():
        named[f"base_model.model.model.{module}.lora_A.weight"] = a
        named[f"base_model.model.model.{module}.lora_B.weight"] = b
    tensors.write(folder / "adapter_model.safetensors", named, "BF16")
    rank = next(iter(factors.values()))[0].shape[0]
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": rank, "lora_alpha": rank}))
    return folder


def merged(
    kind: str, weights: dict[str, float], how: Callable[[Sequence[tuple[np.ndarray, float]], int], np.ndarray]
) -> Factors:
    """The parts' factors put together module by module; how: (factors with weights, which side) -> factor."""
    drawn = {name: draw(kind, int(name[1:])) for name in weights}
    return {
        module: tuple(how([(drawn[name][module][side], weights[name]) for name in weights], side) for side in (0, 1))
        for module in next(iter(drawn.values()))
    }  # type: ignore[return-value]


def side_by_side(factors: Sequence[tuple[np.ndarray, float]], side: int) -> np.ndarray:
    """`cat`."""
    return np.concatenate([one * (weight if side else 1) for one, weight in factors], axis=side)


def added(factors: Sequence[tuple[np.ndarray, float]], side: int) -> np.ndarray:
    """`linear`."""
    signs = [np.sign(weight) if side else 1 for _, weight in factors]
    return sum(one * sign * np.sqrt(abs(weight)) for (one, weight), sign in zip(factors, signs, strict=True))


def ask(folder: Path, known: int, gram: Callable[[], Gram]) -> tuple[Composition, float, float]:
    """One question with everything it takes: (answer, CPU seconds, wall seconds)."""
    cpu, wall = time.process_time(), time.perf_counter()
    adapters = [AdapterWeights(folder.parent / f"k{number}") for number in range(known)]
    found = identify(AdapterWeights(folder), adapters, gram())
    return found, time.process_time() - cpu, time.perf_counter() - wall


def error_of(found: Composition, weights: dict[str, float]) -> float:
    """Largest error of a weight; 1 or more when a part is missing or false."""
    told = {part.name: part.weight or 0.0 for part in found.parts}
    return max((abs(told.get(name, 0.0) - weights.get(name, 0.0)) for name in told | weights), default=0.0)


def main() -> None:
    """Parse, draw, ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="135m")
    parser.add_argument("--known", type=int, default=50)
    parser.add_argument("--cached", action="store_true")
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as made:
        place = Path(made)
        for number in range(args.known):
            write(place / f"k{number}", draw(args.shape, number))
        three = dict(list(WEIGHTS.items())[:3])
        questions = {
            "cat of 5": (merged(args.shape, WEIGHTS, side_by_side), WEIGHTS),
            "linear of 3": (merged(args.shape, three, added), three),
            "no merge": (draw(args.shape, 10_000), {}),
        }
        for name, (factors, weights) in questions.items():
            folder = write(place / name.replace(" ", "-"), factors)
            found, cpu, wall = ask(folder, args.known, Gram)
            shown = {"question": name, "shape": args.shape, "known": args.known, "residual": found.residual}
            print(json.dumps(shown | {"largest_error": round(error_of(found, weights), 5), "parts": len(found.parts),
                                      "cpu_s": round(cpu, 2), "wall_s": round(wall, 2)}), flush=True)  # fmt: skip
        if args.cached:
            cached(place, args.known)


def cached(place: Path, known: int) -> None:
    """One row more in a full Gram matrix on disk."""
    adapters = [AdapterWeights(place / f"k{number}") for number in range(known)]
    begun = time.process_time()
    Gram(place / "cache").ensure(adapters[:-1])
    print(json.dumps({"gram_of": known - 1, "cpu_s": round(time.process_time() - begun, 2)}), flush=True)
    begun = time.process_time()
    Gram(place / "cache").ensure(adapters)
    print(json.dumps({"one_row_more": known, "cpu_s": round(time.process_time() - begun, 2)}), flush=True)
    begun = time.process_time()
    Gram(place / "cache").ensure(adapters)
    print(json.dumps({"read_from_disk": known, "cpu_s": round(time.process_time() - begun, 2)}), flush=True)


if __name__ == "__main__":
    main()

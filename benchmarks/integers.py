"""What integers cost in accuracy: ``python -m benchmarks.integers --data-dir FOLDER``, to docs/results/integers.md.

Makes designs of the models that ``python -m benchmarks.pruning`` left below ``build/results/pruning`` (dense and in
blocks of 16×16), with every way to choose ranges, and in int4 with and without fine-tuning. What is there already is
not made again.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.pruning import ROOT, RUNS
from codesign.files import read_json, to_json, write_text

RESULT = ROOT / "docs" / "results" / "integers.md"
DESIGNS = ROOT / "build" / "results" / "integers"
MODELS = {"MiniLM-L6-H384": "dense", "block": "1.8×, 16×16"}
VARIANTS: dict[str, tuple[str, ...]] = {
    "int8, mse": (),
    "int8, max": ("--ranges", "max"),
    "int8, percentile": ("--ranges", "percentile"),
    "int4, rounded": ("--weight-bits", "4", "--epochs", "0"),
    "int4, fine-tuned": ("--weight-bits", "4"),
}


def main() -> None:
    """Make what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", required=True, help="folder with a sub-folder per task")
    parser.add_argument("--task", action="append", dest="tasks", help="default: mrpc, rte and sst2")
    parser.add_argument("--variant", action="append", dest="variants", choices=VARIANTS, help="only these")
    given = parser.parse_args()
    tasks = given.tasks or ["mrpc", "rte", "sst2"]
    for task in tasks:
        for model in MODELS:
            run = RUNS / task / model
            if not (run / "metrics.json").is_file():
                print(f"no {run.relative_to(ROOT)}: left out")
                continue
            for variant, options in VARIANTS.items():
                folder = DESIGNS / task / model / variant.replace(", ", "-")
                if (folder / "design.yaml").is_file() or (given.variants and variant not in given.variants):
                    continue
                print(f"== {task}, {MODELS[model]}, {variant}", flush=True)
                command = ["quantize", str(run), "--data-dir", given.data_dir, "-o", str(folder), *options]
                subprocess.run([sys.executable, "-m", "codesign", *command], check=True)
    found = {
        (task, model, variant): DESIGNS / task / model / variant.replace(", ", "-")
        for task in ("mrpc", "rte", "sst2")
        for model in MODELS
        for variant in VARIANTS
        if (DESIGNS / task / model / variant.replace(", ", "-") / "design.yaml").is_file()
    }
    rows = [_row(*key, folder) for key, folder in found.items()]
    write_text(RESULT, "\n".join(page(rows)) + "\n")
    write_text(RESULT.with_suffix(".json"), to_json(rows))
    print(f"wrote {RESULT}")


def _row(task: str, model: str, variant: str, folder: Path) -> dict[str, Any]:
    metrics = read_json(folder / "metrics.json")
    design = yaml.safe_load((folder / "design.yaml").read_text(encoding="utf-8"))
    size = read_json(folder / "images" / "manifest.json")["size"]
    return {
        "task": task,
        "model": model,
        "variant": variant,
        "float": metrics["all_metrics"]["pruned"][_split(metrics)],
        "integer": metrics["all_metrics"]["integer"][_split(metrics)],
        "against_float": metrics["integer_against_float"][_split(metrics)],
        "quantisation": design["quantisation"],
        "size": size,
        "seconds": metrics["quantise_seconds"],
        "seed": design["seed"],
        "versions": metrics["versions"],
    }


def _split(metrics: dict[str, Any]) -> str:
    return str(next(iter(metrics["all_metrics"]["pruned"])))


def page(rows: list[dict[str, Any]]) -> Iterator[str]:
    """The page, line by line."""
    versions = ", ".join(f"{name} {version}" for name, version in rows[0]["versions"].items())
    yield "# MiniLM-L6-H384 in integers"
    yield ""
    yield (
        f"Written by `python -m benchmarks.integers` on {datetime.date.today().isoformat()}"
        f" ({versions}; seed {rows[0]['seed']})."
    )
    yield ""
    yield (
        "Scores in points on the development set: of the float model, and of the integer model of the same weights"
        " (int4 fine-tuned: of the float model before). Otherwise: sentences that the integers decide otherwise."
        " Error: root mean square of the logits' difference. Signal to quantisation noise after the first and the"
        " last layer, errors of earlier layers included (int4 fine-tuned: against its own rounded weights in float)."
        " Overhead is what blocks and index take above kept blocks × R·C × bits. Seconds are those of scoring the"
        " development set, padding included, whatever else the machine did."
    )
    for task in dict.fromkeys(row["task"] for row in rows):
        yield ""
        yield f"## {task.upper()}"
        yield ""
        titles = "model, integers, metric, float, integer, difference, otherwise, error, noise, overhead, seconds"
        yield f"| {' | '.join(titles.split(', '))} |"
        yield "|---|---|---|---|---|---|---|---|---|---|---|"
        for row in rows:
            if row["task"] != task:
                continue
            agreed = row["against_float"]
            noise = row["quantisation"]["layer_noise_db"]
            took = {name: f"{value:.0f} {name}" for name, value in row["seconds"]["evaluation"].items()}
            for metric, value in row["float"].items():
                found = row["integer"][metric]
                yield (
                    f"| {MODELS[row['model']]} | {row['variant']} | {metric} | {value:.2f} | {found:.2f}"
                    f" | {found - value:+.2f} | {agreed['decided_otherwise']} of {agreed['sentences']}"
                    f" | {agreed['logits_error']:.3f} | {noise[0]:.1f}, {noise[-1]:.1f} dB"
                    f" | {row['size']['overhead']:.2%} | {', '.join(took.values())} |"
                )
    yield ""
    yield "Per matrix, and all else: integers.json beside this page."


if __name__ == "__main__":
    main()

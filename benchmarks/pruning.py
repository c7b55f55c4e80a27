"""Real pruning runs: ``python -m benchmarks.pruning --model FOLDER --data-dir FOLDER``, to docs/results/pruning.md.

Fine-tunes a model on each task, prunes it to 1.8× in blocks, columns and rows and with the baselines, and writes the
table. With ``--ablation``, also what each part of the method bought, and with ``--ladder`` lower compressions, on the
first task. A row that is there already
(below ``build/results/pruning``) is not run again; an interrupted one is resumed.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from codesign.boards import load_board
from codesign.files import read_json, to_json, write_text
from codesign.planning import load_plan
from codesign.pruning.budget import Hardware
from codesign.pruning.outcome import MASKS

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "docs" / "results" / "pruning.md"
RUNS = ROOT / "build" / "results" / "pruning"
COMPRESSION = 1.8
DENSE = {
    "sst2": ("--dense-epochs", "1"),  # 67,000 sentences
    "rte": ("--dense-epochs", "12", "--batch-size", "16"),  # hardly learnt in fewer and larger steps: 58.5
}
"""Dense fine-tuning where 5 epochs are not right."""
_BLOCK = ("--block", "16x16")
_COLUMN = ("--granularity", "column", "--block", "16x1")


@dataclass(frozen=True)
class Row:
    """One run: its folder's name, what the table calls it, and its options."""

    name: str
    title: str
    options: tuple[str, ...]
    compression: float = COMPRESSION


MAIN = (
    Row("block", "block 16×16", _BLOCK),
    Row("column", "column 16×1", _COLUMN),
    Row("row", "row 1×16", ("--granularity", "row", "--block", "1x16")),
    Row("magnitude", "baseline: one-shot magnitude, 16×16", ("--method", "magnitude", *_BLOCK)),
)
_PAPER = ("--rounds", "1", "--strength", "1", "--importance", "norm", *_BLOCK)
ABLATION = (
    Row("paper", "one cut by norm after the lasso, no distillation (the paper's)", ("--no-distill", *_PAPER)),
    Row("logits", "the same, predictions distilled", ("--hidden", "0", *_PAPER)),
    Row("hidden", "the same, predictions and hidden states distilled", _PAPER),
    Row("second-order", "one cut by second order with refit, both distilled", ("--rounds", "1", *_BLOCK)),
    Row("no-penalty", "eight cuts, as block 16×16 above, without the penalty", ("--method", "gradual", *_BLOCK)),
    Row("movement", "baseline: block movement, distilled", ("--method", "movement", *_BLOCK)),
    Row("planned", "the block that the planner picks", ()),
)
LADDER = tuple(
    Row(f"{name}-{compression:g}", title, options, compression)
    for name, title, options in (("block", "block 16×16", _BLOCK), ("column", "column 16×1", _COLUMN))
    for compression in (1.16, 1.32, 1.48)
)
ROWS = (*MAIN, *ABLATION, *LADDER)


def main() -> None:
    """Run what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="folder or hub name")
    parser.add_argument("--name", default="MiniLM-L6-H384", help="what the table calls the model")
    parser.add_argument("--data-dir", required=True, help="folder with a sub-folder per task")
    parser.add_argument("--task", action="append", dest="tasks", help="default: mrpc and rte")
    parser.add_argument(
        "--row", action="append", dest="rows", help="only rows of this name, or none; may be given again"
    )
    parser.add_argument("--ablation", action="store_true", help="also what each part of the method bought")
    parser.add_argument("--ladder", action="store_true", help="also lower compressions")
    parser.add_argument("--board", default="zcu104")
    parser.add_argument("--seed", default="0")
    given = parser.parse_args()
    tasks = given.tasks or ["mrpc", "rte"]
    for task in tasks:
        common = ["--board", given.board, "--task", task, "--data-dir", given.data_dir, "--seed", given.seed]
        dense = RUNS / task / given.name
        run(dense, [*common, "--model", given.model, *dense_options(task)])
        write_page(given)
        extra = (ABLATION if given.ablation else ()) + (LADDER if given.ladder else ())
        rows = MAIN + (extra if task == tasks[0] else ())
        if given.rows is not None:
            rows = tuple(row for row in ROWS if row.name in given.rows)
        for row in rows:
            options = ["--model", str(dense), "--compression", str(row.compression), *row.options]
            run(RUNS / task / row.name, [*common, *options, "--no-quantize"])
            write_page(given)
    print(f"wrote {RESULT}")


def dense_options(task: str) -> tuple[str, ...]:
    """Of ``codesign prune`` that fine-tunes and prunes nothing."""
    untouched = ("--compression", "1", "--method", "gradual", "--importance", "norm", *_BLOCK)
    none = ("--sparse-epochs", "0", "--retrain-epochs", "0", "--no-quantize")
    return (*untouched, *none, *DENSE.get(task, ("--dense-epochs", "5")))


def run(folder: Path, options: Sequence[str]) -> None:
    """``codesign prune`` into a folder, unless it has been done; goes on with what was interrupted."""
    if (folder / "metrics.json").is_file():
        return
    resume = ["--resume"] if (folder / "work" / "run.json").is_file() else []
    print(f"== {folder.relative_to(ROOT)}", flush=True)
    subprocess.run([sys.executable, "-m", "codesign", "prune", *options, "-o", str(folder), *resume], check=True)


def write_page(given: argparse.Namespace) -> None:
    """The page and, beside it, every metrics.json that it rests on."""
    found: dict[str, dict[str, Any]] = {}
    for task in sorted(path.name for path in RUNS.iterdir() if any((path / row.name).is_dir() for row in MAIN)):
        for name in (given.name, *(row.name for row in ROWS)):
            path = RUNS / task / name / "metrics.json"
            if path.is_file():
                content = read_json(path)
                content["data"] = Path(content["data"]).name  # where it lies is nobody's concern
                hardware = Hardware(load_plan(path.parent), load_board(given.board))
                content["today"] = {
                    "array": hardware.plan.accelerator.shape,
                    "speedup": speedup(hardware, path.with_name(MASKS)),
                }
                found.setdefault(task, {})[name] = content
    write_text(RESULT, "\n".join(page(given.name, found)) + "\n")
    write_text(RESULT.with_suffix(".json"), to_json(found))


def speedup(hardware: Hardware, masks: Path) -> float:
    """Over the dense model on the same array: what the hardware model of now says of a run's masks."""
    kept = {name: mask.bool() for name, mask in load_file(masks).items()}
    return hardware.predicted(kept).speedup


def page(model: str, found: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The page, line by line."""
    first = next(iter(next(iter(found.values())).values()))
    versions = ", ".join(f"{name} {version}" for name, version in first["versions"].items())
    yield f"# {model} pruned to {COMPRESSION}× for {first['predicted']['board']}"
    yield ""
    yield (
        f"Written by `python -m benchmarks.pruning` on {datetime.date.today().isoformat()}"
        f" ({versions}; seed {first['seed']}, training in {first['precision']})."
    )
    yield ""
    yield (
        "Scores are in points on the task's development set, of the weights after the last epoch (no choice of the"
        " best one), computed in float32. Compression counts the encoder's matrices, with all embeddings in brackets."
        " Array and speed-up are what planner and hardware model say of the row's blocks at the time of writing;"
        " the speed-up is that of the whole run, start to last output, over the dense model on the same array."
        " Minutes are wall time, whatever else the machine did. One seed: the standard error of an accuracy of 80 %"
        " is 2.0 points on MRPC's 408 pairs and 2.4 on RTE's 277."
    )
    for task, rows in found.items():
        yield ""
        yield f"## {task.upper()}"
        yield ""
        metrics = list(next(iter(rows.values()))["all_metrics"]["pruned"]["validation"])
        yield f"| | {' | '.join(metrics)} | loss | compression | predicted speed-up | array | minutes |"
        yield f"|---|{'---|' * (len(metrics) + 5)}"
        dense = rows.get(model)
        if dense:
            scores = dense["all_metrics"]["dense"]["validation"]
            yield f"| dense | {_scores(scores, metrics)} | | | | | {dense['seconds'] / 60:.0f} |"
        yield from (_line(row, rows[row.name], metrics) for row in MAIN if row.name in rows)
        for heading, group in (
            ("What each part bought, in blocks of 16×16 unless it says otherwise:", ABLATION),
            ("Lower compressions:", LADDER),
        ):
            parts = [row for row in group if row.name in rows]
            if parts:
                yield ""
                yield heading
                yield ""
                yield f"| | {' | '.join(metrics)} | loss | compression | predicted speed-up | array | minutes |"
                yield f"|---|{'---|' * (len(metrics) + 5)}"
                yield from (_line(row, rows[row.name], metrics) for row in parts)
    yield ""
    yield "Options of each row, as `codesign prune` took them, are in `settings` of pruning.json beside this page."


def _scores(scores: dict[str, float], metrics: list[str]) -> str:
    return " | ".join(f"{scores[metric]:.1f}" for metric in metrics)


def _line(row: Row, content: dict[str, Any], metrics: list[str]) -> str:
    compression, today = content["compression"], content["today"]
    return (
        f"| {row.title} | {_scores(content['all_metrics']['pruned']['validation'], metrics)}"
        f" | {content['dense'] - content['pruned']:+.1f}"
        f" | {compression['encoder']:.2f}× ({compression['with_embeddings']:.2f}×)"
        f" | {today['speedup']:.2f}× | {today['array']}"
        f" | {content['seconds'] / 60:.0f} |"
    )


if __name__ == "__main__":
    main()

"""`mlfund advise` on ten real tables of different kinds: exit status, seconds, advice.

Not a speed claim: it shows that the command copes with empty columns (sick), thousands of levels
(airlines_44k), rare classes (soybean), more columns than most (mfeat_factors), text categories
(splice), few rows (horse_colic) and regression, and what it recommends there.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from benchmarks._harness import shared_data

TABLES = [
    "sick",
    "airlines_44k",
    "soybean",
    "credit_g",
    "electricity",
    "horse_colic",
    "mfeat_factors",
    "splice",
    "abalone",
    "cpu_act",
]


def advise(file: Path, target: str, folds: int) -> dict:
    """Run the command on one table; return what it said and what it cost."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "mlfund", "advise", str(file), "--target", target]
        command += ["--folds", str(folds), "--out", folder, "--seed", "0", "--quiet"]
        begin = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        row = {"exit": done.returncode, "seconds": time.perf_counter() - begin}
        if done.returncode:
            return row | {"error": done.stderr.strip().splitlines()[-1]}
        return row | summary(json.loads((Path(folder) / "advice.json").read_text()))


def summary(advice: dict) -> dict:
    """The parts of an advice that fit in a row."""
    recommendation = advice["recommendation"]
    scores = {row["name"]: row["score_mean"] for row in advice["leaderboard"]}
    return {
        "recommendation": recommendation["name"],
        "family": recommendation["family"],
        "confidence": recommendation["confidence"],
        "metric": advice["protocol"]["metric"],
        "score": scores[recommendation["name"]],
        "scores": scores,
        "warnings": advice["warnings"],
    }


def run(quick: bool = False) -> dict:
    """Advise on each table, one after the other (a small one on two folds when quick)."""
    folder = shared_data()
    catalogue = pd.read_csv(folder / "catalogue.csv").set_index("name")
    names = ["horse_colic"] if quick else TABLES
    rows = {}
    for name in names:
        entry = catalogue.loc[name]
        rows[name] = {"rows": int(entry["rows"]), "columns": int(entry["columns"])}
        rows[name] |= advise(folder / entry["file"], entry["target"], 2 if quick else 5)
    return {"tables": rows}


def report(result: dict) -> str:
    """One line a table."""
    lines = [
        f"{'table':14} {'rows':>6} {'cols':>4} {'exit':>4} {'sec':>6}  "
        f"{'recommended':20} {'sure':>5}  metric, score"
    ]
    for name, row in result["tables"].items():
        start = f"{name:14} {row['rows']:6d} {row['columns']:4d} {row['exit']:4d} "
        if row["exit"]:
            lines.append(f"{start}{row['seconds']:6.0f}  {row['error']}")
            continue
        sure = "" if row["confidence"] is None else f"{row['confidence']:.2f}"
        lines.append(
            f"{start}{row['seconds']:6.0f}  {row['recommendation']:20} {sure:>5}  "
            f"{row['metric']}, {row['score']:.4f}"
        )
    return "\n".join(lines)

"""python -m bench.routing FILE: how the learned strategy would have done on a file of outcomes (bench/replay.py).

Exit status: 0 when it was replayed, 1 when the file is none of the form, 2 for wrong arguments.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, pstdev

from bench.replay import BadFile, Outcome, World, at_random, fixed, learned, oracle

_SWEEP = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.6, 1.0, 1.6)  # weights of cost, for what saves most at 95 % of the quality
_SWEEP_SEEDS = 3
_KEPT_QUALITY = 0.95


def figures(world: World, cost_weight: float, seeds: int, feedback: float = 1.0) -> dict[str, object]:
    """All of it by dotted names: means over the seeds, their spread as `sd`, utilities of 0 to 1."""
    made = {model: fixed(world, cost_weight, index) for index, model in enumerate(world.models)}
    best = max(made, key=lambda model: made[model].utility)
    runs = [learned(world, cost_weight, seed, feedback) for seed in range(seeds)]
    times = sorted(time for run in runs for time in run.decision_us)
    return {
        "file.prompts": len(world.prompts),
        "file.tasks": len({prompt.task for prompt in world.prompts}),
        "file.models": len(world.models),
        "lambda": cost_weight,
        "seeds": seeds,
        "feedback": feedback,
        **{f"fixed.{model}.mean_utility": round(outcome.utility, 4) for model, outcome in made.items()},
        "best_fixed.model": best,
        "best_fixed.mean_utility": round(made[best].utility, 4),
        **_spread("random", [at_random(world, cost_weight, seed) for seed in range(seeds)]),
        **_spread("learned", runs),
        "oracle.mean_utility": round(oracle(world, cost_weight).utility, 4),
        "learned.mean_score": round(mean(run.score for run in runs), 4),
        "learned.mean_cost": round(mean(run.cost for run in runs), 4),
        "learned.explored": round(mean(run.explored for run in runs), 1),
        "learned.exploration_share": round(mean(run.explored for run in runs) / len(world.prompts), 4),
        "learned.regret": [round(mean(steps), 2) for steps in zip(*(run.regret for run in runs), strict=True)],
        "saved_at_95": _saved(world, feedback),
        "decision_us_p50": round(times[len(times) // 2], 1),
        "decision_us_p99": round(times[len(times) * 99 // 100], 1),
    }


def _spread(name: str, runs: Sequence[Outcome]) -> dict[str, float]:
    utilities = [run.utility for run in runs]
    return {f"{name}.mean_utility": round(mean(utilities), 4), f"{name}.sd": round(pstdev(utilities), 4)}


def _saved(world: World, feedback: float) -> float | None:
    """The part of the best model's cost that is saved where its quality is kept to 95 %; None where it is not."""
    best = max((fixed(world, 0.0, index) for index in range(len(world.models))), key=lambda outcome: outcome.score)
    if not best.cost:
        return None
    savings = []
    for weight in _SWEEP:
        runs = [learned(world, weight, seed, feedback) for seed in range(_SWEEP_SEEDS)]
        if mean(run.score for run in runs) >= _KEPT_QUALITY * best.score:
            savings.append(1 - mean(run.cost for run in runs) / best.cost)
    return round(max(savings), 4) if savings else None


def table(found: dict[str, object]) -> str:
    """For people: a line each."""
    width = max(map(len, found))
    return "\n".join(f"{name:{width}}  {_shown(value)}" for name, value in found.items())


def _shown(value: object) -> str:
    if isinstance(value, list):
        return " ".join(f"{item:g}" for item in value)
    return "-" if value is None else str(value)


def _part(least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = float(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not from {least:g} to {most:g}")
        return value

    return read


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.routing",
        description="Replay a file of outcomes (id, task, prompt_chars, score:MODEL…, cost:MODEL…) through the "
        "daemon's learned strategy, beside each model alone, chance, and who knows every score beforehand.",
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--lambda", dest="cost_weight", type=_part(0, 10), default=0.1, metavar="PART")
    parser.add_argument("--seeds", type=int, default=10, choices=range(1, 101), metavar="1..100")
    parser.add_argument("--feedback", type=_part(0, 1), default=1.0, metavar="PART", help="of the answers, told of")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    wish = _arguments(given)
    try:
        world = World.read(wish.file)
    except (BadFile, OSError, UnicodeDecodeError, csv.Error) as error:
        print(f"bench.routing: {error}", file=sys.stderr)
        return 1
    found = figures(world, wish.cost_weight, wish.seeds, wish.feedback)
    print(json.dumps(found) if wish.json else table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())

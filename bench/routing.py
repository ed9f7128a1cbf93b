"""python -m bench.routing FILE: how the strategies would have done on a file of outcomes (bench/outcomes.py).

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

from bench.outcomes import BadFile, World
from bench.replay import Outcome, at_random, chosen, fixed, learned, oracle
from cortexd.domain.messages import Strategy

_SWEEP = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.6, 1.0, 1.6)  # weights of cost, for what saves most at 95 % of the quality
_SWEEP_SEEDS, _SWEEP_PROMPTS = 3, 20_000  # as many prompts are enough for one weight
_KEPT_QUALITY = 0.95
_OF_WAY = (".mean_utility", ".sd", ".se", ".mean_score", ".mean_cost", ".note")
# strategies whose figures no file has: why there is no number, or what is left of them
_BLIND = {Strategy.LATENCY: "the file has no times"}
_HALF_BLIND = {
    Strategy.TABLE: "the file's first model",
    Strategy.QUALITY: "the file has no grades: by cost alone",
    Strategy.BALANCED: "the file has neither grades nor times: by cost alone",
}


def figures(world: World, cost_weight: float, seeds: int, feedback: float = 1.0) -> dict[str, object]:
    """All of it by dotted names: means over the seeds, their spread as `sd`, utilities of 0 to 1."""
    made = {model: fixed(world, cost_weight, index) for index, model in enumerate(world.models)}
    best = max(made, key=lambda model: made[model].utility)
    runs = [learned(world, cost_weight, seed, feedback) for seed in range(seeds)]
    times = sorted(time for run in runs for time in run.decision_us)
    return {
        "file.rows": world.rows,
        "file.prompts": len(world.prompts),
        "file.tasks": len({prompt.task for prompt in world.prompts}),
        "file.models": len(world.models),
        "lambda": cost_weight,
        "seeds": seeds,
        "feedback": feedback,
        **{key: value for model, run in made.items() for key, value in _spread(f"fixed.{model}", [run]).items()},
        "best_fixed.model": best,
        **_spread("best_fixed", [made[best]]),
        **_spread("random", [at_random(world, cost_weight, seed) for seed in range(seeds)]),
        **{key: value for strategy in Strategy for key, value in _strategy(world, cost_weight, strategy).items()},
        **_spread("learned", runs),
        **_spread("oracle", [oracle(world, cost_weight)]),
        "learned.explored": round(mean(run.explored for run in runs), 1),
        "learned.exploration_share": round(mean(run.explored for run in runs) / len(world.prompts), 4),
        "learned.regret": [round(mean(steps), 2) for steps in zip(*(run.regret for run in runs), strict=True)],
        "saved_at_95": _saved(list(made.values()), _swept(world, seeds, feedback)),
        "best_fixed.saved_at_95": _saved(list(made.values()), [[run] for run in made.values()]),
        "decision_us_p50": round(times[len(times) // 2], 1),
        "decision_us_p99": round(times[len(times) * 99 // 100], 1),
    }


def _spread(name: str, runs: Sequence[Outcome]) -> dict[str, float]:
    """`sd`: of the seeds; `se`: the mean's standard error by the prompts that there happen to be."""
    utilities = [run.utility for run in runs]
    return {
        f"{name}.mean_utility": round(mean(utilities), 4),
        f"{name}.sd": round(pstdev(utilities), 4),
        f"{name}.se": round(mean(run.error for run in runs), 4),
        f"{name}.mean_score": round(mean(run.score for run in runs), 4),
        f"{name}.mean_cost": round(mean(run.cost for run in runs), 4),
    }


def _strategy(world: World, cost_weight: float, strategy: Strategy) -> dict[str, object]:
    """The figures of one that does not learn, or why it has none."""
    name = strategy.value
    if strategy is Strategy.LEARNED:
        return {}
    if strategy in _BLIND:
        return {f"{name}.mean_utility": None, f"{name}.note": _BLIND[strategy]}
    note = {f"{name}.note": _HALF_BLIND[strategy]} if strategy in _HALF_BLIND else {}
    return {**_spread(name, [chosen(world, cost_weight, strategy)]), **note}


def _swept(world: World, seeds: int, feedback: float) -> list[list[Outcome]]:
    """What is learned at each weight of cost."""
    seeds = max(1, min(seeds, _SWEEP_SEEDS, _SWEEP_PROMPTS // len(world.prompts)))
    return [[learned(world, weight, seed, feedback) for seed in range(seeds)] for weight in _SWEEP]


def _saved(made: Sequence[Outcome], ways: Sequence[Sequence[Outcome]]) -> float | None:
    """The most of the best model's cost that one of the ways saves where its quality is kept to 95 %; None where none
    keeps it, or where that model costs nothing."""
    best = max(made, key=lambda outcome: outcome.score)
    if not best.cost:
        return None
    savings = [
        1 - mean(run.cost for run in runs) / best.cost
        for runs in ways
        if mean(run.score for run in runs) >= _KEPT_QUALITY * best.score
    ]
    return round(max(savings), 4) if savings else None


def table(found: dict[str, object]) -> str:
    """For people: a line for each way of choosing, then one for each other figure."""
    ways = [name.removesuffix(_OF_WAY[0]) for name in found if name.endswith(_OF_WAY[0])]
    shown = [("", *(key.removeprefix(".") for key in _OF_WAY))]
    shown += [(way, *(_shown(found.get(f"{way}{key}", "")) for key in _OF_WAY)) for way in ways]
    of_ways = {f"{way}{key}" for way in ways for key in _OF_WAY}
    widths = [max(len(row[column]) for row in shown) for column in range(len(_OF_WAY))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)) for row in shown]
    rest = {name: value for name, value in found.items() if name not in of_ways}
    width = max(map(len, rest))
    return "\n".join(
        [*map(str.rstrip, lines), "", *(f"{name:{width}}  {_shown(value)}" for name, value in rest.items())]
    )


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
        description="Replay a file of outcomes (id, task, prompt_chars[, prompt], score:MODEL…, cost:MODEL…) through "
        "the daemon's strategies, beside each model alone, chance, and who knows every score beforehand.",
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

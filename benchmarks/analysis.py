"""Analyses against known answers: customer lifetime value on CDNOW and a million customers, effects of campaigns.

    make bench-analysis
    python benchmarks/analysis.py --simulations 500 --customers 1000000 --seed 7

CDNOW ships with `lifetimes` (development only); the smoking panel lies in ../shared/estimators.
"""

from __future__ import annotations

import argparse
import csv
import resource
import time
from collections import Counter
from importlib import resources
from pathlib import Path

import numpy as np
import pyarrow as pa

from dataops.analysis import campaigns as analysed
from dataops.analysis import effects, lifetime, purchases, spend
from dataops.analysis.effects import METHODS, Panel
from dataops.analysis.histories import Customers, Orders

SMOKING = Path(__file__).resolve().parents[2] / "shared/estimators/california_prop99.csv"
CUT = "1997-09-30"
HOLD_OUT = 39  # weeks


def cdnow() -> None:
    """Parameters beside the published ones, and the hold-out."""
    text = resources.files("lifetimes.datasets").joinpath("CDNOW_sample.txt").read_text(encoding="utf-8")
    rows = [line.split() for line in text.splitlines() if line.strip()]
    days = np.array([f"{row[2][:4]}-{row[2][4:6]}-{row[2][6:]}" for row in rows], dtype="datetime64[D]")
    orders = Orders.of(
        pa.table(
            {
                "customer_id": [int(r[1]) for r in rows],
                "order_date": pa.array(days),
                "value": [float(r[4]) for r in rows],
            }
        )
    )
    before = Customers.of(orders, int(np.datetime64(CUT, "D").astype(int)))
    actual, _ = before.bought_later(orders, before.as_of + HOLD_OUT * 7)
    print("CDNOW: 2,357 customers, 39 weeks and 39 of hold-out        published r 0.243, alpha 4.414, a 0.793, b 2.426")
    histories = before.histories
    line("same number as before", lifetime.HoldOut(before, HOLD_OUT, histories.repeats, actual), "")
    for model in lifetime.MODELS:
        start = time.perf_counter()
        fit = purchases.fit(model, histories)
        took = time.perf_counter() - start
        said = purchases.expected(model, fit.values, histories, HOLD_OUT)
        names = ", ".join(
            f"{name} {value:.3f} ({error:.3f})"
            for name, value, error in zip(("r", "alpha", "a", "b"), fit.values, fit.errors, strict=True)
        )
        line(model, lifetime.HoldOut(before, HOLD_OUT, said, actual), f"{names}; {took:.2f} s")
    again = before.purchases > 1
    worth = spend.fit(histories.repeats[again], before.repeats_worth[again])
    print(f"  {'Gamma-Gamma':<28} p {worth.values[0]:.2f}, q {worth.values[1]:.2f}, v {worth.values[2]:.2f}")


def line(name: str, out: lifetime.HoldOut, more: str) -> None:
    """One model on the hold-out."""
    print(
        f"  {name:<28} total {out.total_error or 0:+7.1%}  correlation {out.correlation or 0:.3f}"
        f"  mean absolute error {out.mean_absolute_error:.3f}  {more}"
    )


def million(customers: int, seed: int) -> None:
    """Seconds and memory of everything that is computed per customer."""
    orders_table = simulated(customers, seed)
    start = time.perf_counter()
    orders = Orders.of(orders_table)
    everyone = Customers.of(orders, orders.last_day)
    judged = [lifetime.judge(model, orders) for model in lifetime.MODELS]
    credible = [one for one in judged if one.is_credible]
    if credible:
        lifetime.by_model(credible[0], everyone, 0.1)
    lifetime.cohorts(orders, everyone, 0.1)
    took = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{customers:,} customers, {orders_table.num_rows:,} orders: {took:.1f} s, peak {peak:,} MiB, seed {seed}")
    for one in judged:
        print(f"  {one.model:<28} {', '.join(one.reasons) or 'believed'}")


def simulated(customers: int, seed: int, weeks: int = 156) -> pa.Table:
    """Customers as BG/NBD (r 0.8, alpha 8, a 0.8, b 3) and Gamma-Gamma say."""
    random = np.random.default_rng(seed)
    rate, leave = random.gamma(0.8, 1 / 8, customers) / 7, random.beta(0.8, 3, customers)
    level = 50 / random.gamma(4, 1, customers)
    here, day = np.arange(customers), random.integers(0, weeks * 7 // 2, customers).astype(np.float64)
    ids, days = [here], [day]
    while len(here):
        day = day + random.exponential(1 / rate[here])
        here, day = here[day < weeks * 7], day[day < weeks * 7]
        ids.append(here)
        days.append(day)
        stays = random.random(len(here)) > leave[here]
        here, day = here[stays], day[stays]
    who, when = np.concatenate(ids), np.concatenate(days).astype(np.int32) + 18_000
    return pa.table(
        {
            "customer_id": pa.array(who),
            "order_date": pa.array(when).cast(pa.date32()),
            "value": pa.array(random.gamma(6, level[who])),
        }
    )


def smoking() -> None:
    """California's Proposition 99: three estimates beside the published ones."""
    rows = list(csv.DictReader(SMOKING.read_text(encoding="utf-8").splitlines(), delimiter=";"))
    rows.sort(key=lambda row: (row["State"], row["Year"]))
    states, years = (sorted({row[name] for row in rows}) for name in ("State", "Year"))
    outcomes = np.array([float(row["PacksPerCapita"]) for row in rows]).reshape(len(states), len(years))
    panel = Panel(outcomes, np.array(states) == "California", years.index("1989"))
    print("California, packs of cigarettes per head")
    for method, published in zip(METHODS, ("-27.3 (17.7)", "-19.6 (9.9)", "-15.6 (8.4)"), strict=True):
        effect, of_placebos = effects.estimate(method, panel), effects.placebos(method, panel)
        error = effects.standard_error(of_placebos)
        print(f"  {method:<38} {effect.estimate:6.2f} ({error:.1f})   published {published}")


def campaigns(simulations: int, seed: int) -> None:
    """How often the 95 % interval holds the true effect, and how often an effect is said to be there."""
    for truth in (0.0, 10.0):
        random, covered, found = np.random.default_rng(seed), dict.fromkeys(METHODS, 0), dict.fromkeys(METHODS, 0)
        for _ in range(simulations):
            panel = campaign(random, truth)
            for method in METHODS:
                effect = effects.estimate(method, panel)
                of_placebos = effects.placebos(method, panel)
                low, high = effects.interval(effect, of_placebos, panel)
                covered[method] += low <= truth <= high
                found[method] += not low <= 0 <= high
        print(f"{simulations} simulated campaigns, effect {truth:g}, seed {seed}: the 95 % interval holds it")
        for method, count in covered.items():
            told = "false alarms" if truth == 0 else "effects found"
            print(f"  {method:<38} {count / simulations:.1%}, {told} {found[method] / simulations:.1%}")


def campaign(random: np.random.Generator, truth: float, units: int = 25, periods: int = 60, start: int = 48) -> Panel:
    """Two courses that every unit follows in its own measure, a season, errors that last, an effect on the first."""
    level, load = random.normal(100, 20, (units, 1)), random.normal(1, 0.5, (units, 2))
    common = np.cumsum(random.normal(0, 2, (2, periods)), axis=1)
    errors = random.normal(0, 4, (units, periods))
    for period in range(1, periods):
        errors[:, period] += errors[:, period - 1] / 2
    outcomes = level + load @ common + 10 * np.sin(np.arange(periods) * np.pi / 6) + errors
    outcomes[0, start:] += truth
    return Panel(outcomes, np.arange(units) == 0, start)


def conclusions(simulations: int, seed: int) -> None:
    """What the weekly analysis concludes of whole campaigns, with all of its checks: 25 products, an offer on one."""
    for lift in (0.0, 0.3):
        random, told = np.random.default_rng(seed), Counter[str]()
        held = 0
        for _ in range(simulations):
            row = analysed.results(sales(random, lift)).to_pylist()[0]
            told[row["conclusion"]] += 1
            held += row["effect"] is not None and row["effect_low"] <= lift <= row["effect_high"]
        judged = simulations - told[analysed.INSUFFICIENT]
        shares = ", ".join(f"{name} {count / simulations:.1%}" for name, count in told.most_common())
        print(f"{simulations} simulated campaigns, {lift:.0%} more sold, seed {seed}: {shares}")
        print(f"  the 95 % interval holds it in {held / judged:.1%} of those that can be told")


def sales(random: np.random.Generator, lift: float, products: int = 25, months: int = 15) -> dict[str, pa.Table]:
    """Sales that follow a course of all products, each in its own measure; the first has an offer in month 13."""
    level, load = random.uniform(500, 2000, (products, 1)), random.normal(1, 0.5, (products, 1))
    common = np.cumsum(random.normal(0, 0.05, (1, months)), axis=1)
    share = 1 + load * common + random.normal(0, 0.1, (products, months))
    share[0, 12] += lift * (1 + (load * common)[0, :12].mean())
    first = np.array([np.datetime64("2020-01-15", "D") + np.timedelta64(31 * month, "D") for month in range(months)])
    product, month = (index.ravel() for index in np.indices((products, months)))
    day = first.astype("datetime64[M]").astype("datetime64[D]")[month]
    start = day[month == 12][0]
    offer = {"campaign": "offer 7", "kind": "offer", "number": 7, "is_quantity_rule": False, "is_clearance": False}
    return {
        "campaigns": pa.Table.from_pylist([offer | {"start_date": start.item(), "end_date": (start + 27).item()}]),
        "sales": pa.table(
            {
                "order_date": pa.array(day),
                "product_id": pa.array(product),
                "channel": pa.array(["store"] * len(day)),
                "special_offer_id": pa.array(np.where((product == 0) & (month == 12), 7, 1)),
                "revenue": pa.array(np.maximum(level * share, 1).ravel()),
            }
        ),
        "products": pa.table(
            {
                "product_id": pa.array(np.arange(products)),
                "product_subcategory_id": pa.array(np.arange(products)),
                "sell_end_date": pa.nulls(products, pa.date32()),
            }
        ),
    }


def main() -> None:
    """Prints all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=500)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    cdnow()
    million(asked.customers, asked.seed)
    smoking()
    campaigns(asked.simulations, asked.seed)
    conclusions(asked.simulations, asked.seed)


if __name__ == "__main__":
    main()

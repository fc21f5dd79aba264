#!/usr/bin/env python3
"""Plays orders while the local stack is disturbed, and checks that every promise holds afterwards.

    chaos.py --name chaos                   run by `make chaos`, against a stack that `stack.py run` has started
    chaos.py --name chaos --part overload   only the overload

Part `faults`: functions are killed, the emulator is halted, and messages are deleted or become dead letters, while buyers place, pay and
cancel orders. Then dead letters are redriven, and the sweeps run until every order has settled. Part `overload`: see overload.py.

`--seed` repeats the orders and the plan of disturbances. Which processes and messages a step hits depends on the moment. The exit status is
1 if a rule is still violated `--seconds` after the last order.
"""

import argparse
import random
import sys
import threading
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "localstack")]
import deployment  # noqa: E402
import stack as local  # noqa: E402
from client import ApiError  # noqa: E402

import buyers  # noqa: E402
import checks  # noqa: E402
import disturbances  # noqa: E402
import overload  # noqa: E402
import reading  # noqa: E402

PARTS = ("overload", "faults")
ORDERS_PER_SECOND = 3  # that the emulator can serve on two cores
WORKERS = 40
BUYERS = 20
SHOWN = 20  # violations that are printed


def say(text):
    local.say(text)


def faults(stack, shop, orders, seed):
    """Plays the orders under the disturbances of the plan. Returns what was done."""
    seconds = max(10.0, orders / ORDERS_PER_SECOND)
    steps, planned_orders = disturbances.plan(seed, seconds), buyers.planned_orders(seed, orders, seconds)
    disturber, failed = disturbances.Disturber(stack), []

    def disturb():
        try:
            disturber.run(steps)
        except Exception as error:  # of the tool or of the emulator: the run proves nothing
            failed.append(error)

    say(f"placing {orders} orders in {seconds:.0f} s, with {len(steps)} disturbances")
    thread, ended = threading.Thread(target=disturb), threading.Event()
    progress = threading.Thread(target=report, args=(shop, disturber, ended), daemon=True)
    thread.start()
    progress.start()
    try:
        shop.play(planned_orders, WORKERS)
    finally:
        thread.join()
        ended.set()
        progress.join()
    if failed:
        raise failed[0]
    if not disturber.counts["processes killed while their function worked"]:
        raise local.CommandError("No function was killed while it worked, so the run proves nothing: raise ORDERS.")
    return disturber.counts


def report(shop, disturber, ended):
    while not ended.wait(10):
        counts = disturber.counts
        say(f"{shop.orders()} orders placed, {counts['processes killed']} processes killed, {counts['halts of the emulator']} halts,"
            f" {counts['messages deleted']} messages deleted, {counts['messages moved to dead letters']} moved to dead letters")


def settle(stack, shop, seconds):
    """Runs sweeps and redrives until no rule is violated. Returns the orders, the number of redriven dead letters, and the violations."""
    deadline, redriven, printed = time.monotonic() + seconds, 0, None
    products = set(shop.products.values())
    while True:
        is_late = time.monotonic() > deadline
        try:
            reading.sweep(stack)
            redriven += reading.redrive(stack)
            snapshot = reading.snapshot(stack, products)
            found = checks.violations(snapshot, shop.placed)
            if not found or is_late:
                snapshot.mismatches = reading.mismatches(stack)
                found = checks.violations(snapshot, shop.placed)
        except OSError as error:
            snapshot, found = checks.Snapshot(), [f"the stack cannot be read: {error}"]
        if not found or is_late:
            return snapshot, redriven, found
        if len(found) != printed:
            say(f"waiting: {found[0]}" + (f", and {len(found) - 1} more" if len(found) > 1 else ""))
        printed = len(found)
        time.sleep(2)


def table(rows):
    print()
    deployment.table(("what", "number"), [(name, f"{number:g}" if isinstance(number, float) else number) for name, number in rows])


def run(stack, args):
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1_000_000)
    say(f"SEED={seed}")
    admin = local.sample()["users"]["admin"]
    shop = buyers.Buyers(stack.api(), stack.api().log_in(admin["email"], admin["password"]), BUYERS)
    started, rows, found = time.monotonic(), [], []
    if args.part in (None, "overload"):  # first, because the capacity is measured while nothing else runs
        rows, found = overload.run(stack, shop)
    if args.part in (None, "faults"):
        rows += sorted(faults(stack, shop, args.orders, seed).items())
    say(f"waiting at most {args.seconds} s until every order has settled")
    snapshot, redriven, violated = settle(stack, shop, args.seconds)
    outcomes = Counter(order.status for order in snapshot.orders.values())
    rows += [("dead letters redriven", redriven)] + [(f"answers {status}", count) for status, count in sorted(shop.answers.items(), key=str)]
    rows += [(f"orders {status}", count) for status, count in sorted(outcomes.items())]
    rows += [("orders", sum(outcomes.values())), ("seconds", time.monotonic() - started)]
    table(rows)
    found += violated
    print()
    for violation in found[:SHOWN]:
        print(f"violated: {violation}")
    if found:
        part = f" PART={args.part}" if args.part else ""
        print(f"{len(found)} violations. Repeat: make chaos SEED={seed} ORDERS={args.orders}{part}")
        return 1
    print(f"Every rule holds for {sum(outcomes.values())} orders (SEED={seed}).")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="chaos", help="the local stack (default: %(default)s)")
    parser.add_argument("--part", choices=PARTS, help="only this part (default: all)")
    parser.add_argument("--orders", type=int, default=300, help="how many orders (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="repeats the plan of an earlier run (default: a random one)")
    parser.add_argument("--seconds", type=int, default=600, help="the limit until every order has settled (default: %(default)s)")
    args = parser.parse_args()
    try:
        return run(local.Stack(args.name), args)
    except (ApiError, local.CommandError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Prints the fixed monthly price of the monitoring of a stack, and the cost of 1,000 paid orders.

    cost.py                          every currency and every alarm
    cost.py --alarms essential       with the parameter Alarms=essential
    cost.py --currencies 1           a shop that sells in one currency
    cost.py --metrics                also each custom metric with its price

The fixed price has the metrics that traffic sends, the alarms and the dashboards. AWS bills a custom metric by the hour, and only for hours in
which it is sent. A metric of a fault is therefore listed separately. The prices are list prices of us-east-1 without the free tier, except that
the first three dashboards of an account are free.
"""

import json
from pathlib import Path

import templates
from arguments import Parser
import deployment
from deployment import CommandError

ROOT = Path(__file__).parents[1]
METRICS = ROOT / "localstack/metrics.json"

# List prices in us-east-1, in USD, of November 2026. AWS changes them: compare them with the named pages.
PRICES_OF = "2026-11"
# aws.amazon.com/cloudwatch/pricing: the first 10,000 custom metrics; standard-resolution alarms on one metric; dashboards.
METRIC_A_MONTH = 0.30
ALARM_A_MONTH = 0.10
CURRENCIES = 2  # AWS bills only the currencies that a shop sells in
DASHBOARD_A_MONTH = 3.00
FREE_DASHBOARDS = 3
HOURS_A_MONTH = 730

MILLION = 1_000_000
INVOCATIONS = 19  # functions/README.md, Cost: counted by tests/journeys and on the local stack
SECONDS = 0.010  # functions/README.md, Cost
GIGABYTES = 0.25  # MemorySize: 256
MESSAGES = 10  # tests/journeys, paid_order_costs_the_documented_units

# The units of one paid order of one product, each with the USD for a million units and the source of the price.
ORDER = [
    # The sum of tests/budgets/capacity.rs without the simulated provider's keys.
    ("write units of DynamoDB", 45, 0.625, "aws.amazon.com/dynamodb/pricing/on-demand"),
    # Each call is counted as one unit: the number of items of a batch is not measured.
    ("read calls of DynamoDB, at least one unit each", 7, 0.125, "aws.amazon.com/dynamodb/pricing/on-demand"),
    # A message is sent, received and deleted.
    ("requests of SQS", 3 * MESSAGES, 0.40, "aws.amazon.com/sqs/pricing"),
    ("requests of Lambda", INVOCATIONS, 0.20, "aws.amazon.com/lambda/pricing"),
    ("GB-seconds of Lambda on arm64", INVOCATIONS * SECONDS * GIGABYTES, 13.3334, "aws.amazon.com/lambda/pricing"),
    ("requests of API Gateway", 1, 3.50, "aws.amazon.com/api-gateway/pricing"),
    ("mails of SES", 1, 100.0, "aws.amazon.com/ses/pricing"),
    # Measured on the local stack: logs.py --order ... --json. Without the lines of publishers and of Lambda.
    ("kilobytes of logs, at least", 5.3, 0.50, "aws.amazon.com/cloudwatch/pricing"),
]


class Metric:
    """A declared metric. AWS bills each combination of a service and a value of its dimension."""

    def __init__(self, declared, currencies):
        self.name, self.is_fault = declared["name"], declared["sent"] == "faults"
        values = declared.get("values", [None])
        self.values = values[:currencies] if declared.get("dimension") == "currency" else values
        self.count = len(declared["services"]) * len(self.values)


def metrics(currencies=None):
    return [Metric(declared, currencies) for declared in json.loads(METRICS.read_text())]


def supported_currencies():
    return next(len(each["values"]) for each in json.loads(METRICS.read_text()) if each.get("dimension") == "currency")


def resources(kind):
    return [resource for path in templates.paths(ROOT) for resource in templates.read(path)["Resources"].values() if resource["Type"] == kind]


def alarms(choice):
    """Returns the number of metrics that alarms watch, with `Alarms` set to `choice`. AWS bills each metric of an alarm on several."""
    every = resources("AWS::CloudWatch::Alarm")
    chosen = [each["Properties"] for each in every if choice == "all" or each.get("Condition") != "AllAlarms"]
    return sum(len([metric for metric in each.get("Metrics", [{"MetricStat": {}}]) if "MetricStat" in metric]) for each in chosen)


def fixed(choice="all", currencies=CURRENCIES):
    """Returns the rows of the fixed price: what, count, USD for one, USD for all."""
    sent = sum(metric.count for metric in metrics(currencies) if not metric.is_fault)
    paid = max(0, len(resources("AWS::CloudWatch::Dashboard")) - FREE_DASHBOARDS)
    return [(what, count, price, count * price) for what, count, price in (
        ("custom metrics", sent, METRIC_A_MONTH), ("metrics of alarms", alarms(choice), ALARM_A_MONTH),
        (f"dashboards beyond the free {FREE_DASHBOARDS}", paid, DASHBOARD_A_MONTH))]


def of_orders(orders):
    """Returns the rows of the cost of orders: unit, count for one order, USD for a million units, USD for all orders."""
    return [(unit, count, price, orders * count * price / MILLION) for unit, count, price, _ in ORDER]


def total(rows):
    return sum(row[-1] for row in rows)


def cost(_shop, args):
    supported = supported_currencies()
    if not 1 <= args.currencies <= supported:
        raise CommandError(f"--currencies is a number from 1 to {supported}, the supported currencies.")
    rows = fixed(args.alarms, args.currencies)
    number = args.currencies
    currencies = f"{number} {'currency' if number == 1 else 'currencies'}"
    print(f"Fixed price a month, in USD (Alarms={args.alarms}, {currencies}; list prices of us-east-1, {PRICES_OF})\n")
    show(("", "count", "price", "USD"), rows, 2)
    faults = sum(metric.count for metric in metrics() if metric.is_fault)
    print(f"\nBesides, {faults} metrics are sent only when a fault occurs: {METRIC_A_MONTH / HOURS_A_MONTH:.4f} USD for each hour with the fault,"
          f" {faults * METRIC_A_MONTH:.2f} USD a month if every fault occurred in every hour.")
    if args.metrics:
        print()
        each = [(metric.name, metric.count, "faults" if metric.is_fault else "traffic", f"{metric.count * METRIC_A_MONTH:.2f}")
                for metric in metrics(args.currencies)]
        deployment.table(("metric", "count", "sent by", "USD"), each)
    print("\nCost of 1,000 paid orders, in USD (from measured units; see functions/README.md, Cost)\n")
    show(("", "an order", "a million", "USD"), of_orders(1000), 4)


def show(head, rows, digits):
    deployment.table(head, [(what, f"{count:g}", f"{price:.6g}", f"{usd:.{digits}f}") for what, count, price, usd in rows]
                     + [("sum", "", "", f"{total(rows):.{digits}f}")])


def arguments():
    parser = Parser(description=__doc__)
    parser.add_argument("--alarms", choices=("all", "essential"), default="all", help="the parameter Alarms (default: %(default)s)")
    parser.add_argument("--currencies", type=int, default=CURRENCIES, help="how many currencies the shop sells in (default: %(default)s)")
    parser.add_argument("--metrics", action="store_true", help="also list each custom metric")
    return parser


if __name__ == "__main__":
    # It reads the templates and no deployment.
    raise SystemExit(deployment.main(arguments(), cost, lambda _args: None))

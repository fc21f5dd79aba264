"""`cost.py`: the fixed price stays within its limit, and the units of an order are those that the tests measure."""

import io
import re
import tomllib
import unittest
from contextlib import redirect_stdout
from pathlib import Path

import fakes  # noqa: F401
import cost
import templates
from deployment import CommandError

ROOT = Path(__file__).parents[2]
MOST_A_MONTH = 25.00


def run(*words):
    out = io.StringIO()
    with redirect_stdout(out):
        cost.cost(None, cost.arguments().parse_args(words))
    return out.getvalue()


class Prices(unittest.TestCase):
    def test_the_benchmark_has_the_same_prices(self):
        prices = tomllib.loads((ROOT / "tests/bench/budgets.toml").read_text())["prices"]
        found = {unit: price for unit, _, price, _ in cost.ORDER}
        self.assertEqual(prices, {
            "lambda_requests": found["requests of Lambda"], "lambda_gigabyte_seconds": found["GB-seconds of Lambda on arm64"],
            "read_units": found["read calls of DynamoDB, at least one unit each"], "write_units": found["write units of DynamoDB"],
            "queue_requests": found["requests of SQS"], "api_requests": found["requests of API Gateway"]})


class FixedPrice(unittest.TestCase):
    def test_metrics_alarms_and_dashboards_cost_at_most_25_usd_a_month(self):
        rows = cost.fixed()
        self.assertLessEqual(cost.total(rows), MOST_A_MONTH, f"reduce the dimensions in localstack/metrics.json, or alarms: {rows}")

    def test_every_combination_of_a_bounded_dimension_is_a_metric(self):
        found = {metric.name: metric.count for metric in cost.metrics()}
        self.assertEqual((found["OrdersPlaced"], found["OrdersFailed"], found["Revenue"], found["ServerErrors"]), (1, 6, 12, 9))
        (what, count, price, usd), *_ = cost.fixed()
        self.assertEqual((what, price), ("custom metrics", 0.30))
        self.assertAlmostEqual(usd, 0.30 * count)
        self.assertEqual(count, sum(metric.count for metric in cost.metrics(cost.CURRENCIES) if not metric.is_fault))
        self.assertEqual(count - cost.fixed(currencies=1)[0][1], 2, "revenue and refunded amount, of each further currency")

    def test_alarms_are_those_of_the_templates(self):
        text = "\n".join(path.read_text() for path in templates.paths(ROOT))
        several = len(re.findall(r"(?m)^          MetricStat:$", text))
        on_one = len(re.findall(r"(?m)^    Type: AWS::CloudWatch::Alarm$", text)) - len(re.findall(r"(?m)^      Metrics:$", text))
        self.assertEqual(cost.alarms("all"), on_one + several)
        essential = len(re.findall(r"(?m)^### \w+Alarm\n\n\*Essential\.\*", (ROOT / "localstack/README.md").read_text()))
        self.assertGreaterEqual(cost.alarms("essential"), essential)

    def test_the_documents_state_the_price(self):
        for path in ("functions/README.md", "localstack/README.md"):
            text = " ".join((ROOT / path).read_text().split())
            for sum_ in (cost.total(cost.fixed()), cost.total(cost.fixed("essential", 1))):
                self.assertIn(f"{sum_:.2f} USD", text, f"{path} does not state the price that make cost prints")

    def test_no_metrics_of_single_methods_are_bought(self):
        settings = templates.read(ROOT / "template.yaml")["Resources"]["Api"]["Properties"]["MethodSettings"]
        self.assertEqual([each for each in settings if each.get("MetricsEnabled")], [], "AWS bills each metric of a method as a custom metric")


class CostOfOrders(unittest.TestCase):
    units = {unit.split(",")[0]: count for unit, count, *_ in cost.ORDER}

    def test_write_units_are_those_that_the_tests_measure(self):
        code = (ROOT / "tests/budgets/capacity.rs").read_text()
        keys = "".join(re.findall(r"(?s)const (?:SHARED|OWN)_KEYS: .*?= \[(.*?)\];", code))
        units = {name: int(count) for name, count in re.findall(r'\("([^"]+)",\s*(\d+)', keys)}
        self.assertEqual(len(units), 17)
        # A real provider keeps its own records.
        measured = sum(count for name, count in units.items() if not name.startswith("payment-simulator"))
        self.assertEqual(self.units["write units of DynamoDB"], measured)

    def test_reads_and_messages_are_those_that_the_tests_count(self):
        code = (ROOT / "tests/journeys/main.rs").read_text()
        reads, messages = re.search(r"assert_eq!\(counted, \((\d+) \+ 1, 0, \d+, \d+, (\d+)\)", code).groups()
        self.assertEqual((self.units["read calls of DynamoDB"], cost.MESSAGES), (int(reads), int(messages)))

    def test_the_readme_has_the_same_units(self):
        text = " ".join((ROOT / "functions/README.md").read_text().split())
        for part in ("7 reads,", f"{cost.MESSAGES} queue messages", f"{cost.INVOCATIONS} invocations", "45 write units", "invocations of 10 ms at 256 MB"):
            self.assertIn(part, text)

    def test_cost_is_units_times_price(self):
        rows = {unit: (count, price, usd) for unit, count, price, usd in cost.of_orders(1000)}
        self.assertAlmostEqual(rows["mails of SES"][2], 0.10)
        for count, price, usd in rows.values():
            self.assertAlmostEqual(usd, 1000 * count * price / 1e6)


class Command(unittest.TestCase):
    def test_both_parts_are_printed_with_their_sums(self):
        said = run("--alarms", "essential", "--currencies", "1", "--metrics")
        self.assertIn(f"{cost.total(cost.fixed('essential', 1)):.2f}", said)
        self.assertIn(f"{cost.total(cost.of_orders(1000)):.4f}", said)
        self.assertRegex(said, r"Revenue +1 +traffic +0\.30")

    def test_a_number_of_currencies_that_does_not_exist_is_rejected(self):
        for number in ("0", "13"):
            with self.assertRaisesRegex(CommandError, "a number from 1 to 12"):
                run("--currencies", number)


if __name__ == "__main__":
    unittest.main()

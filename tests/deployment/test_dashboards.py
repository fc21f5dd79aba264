"""The dashboards: what Grafana and CloudWatch expect of them, and that they name existing resources."""

import itertools
import json
import re
import unittest
from functools import cache
from pathlib import Path

import fakes  # noqa: F401
import templates

ROOT = Path(__file__).parents[2]
COLUMNS = 24
STATISTICS = r"Sum|Maximum|Minimum|Average|SampleCount|p\d\d(\.\d+)?"
# grafana/packages/grafana-schema, kind `CloudWatchMetricsQuery`: the members that its editor writes.
QUERY = {"datasource", "dimensions", "expression", "id", "label", "matchExact", "metricEditorMode", "metricName", "metricQueryType", "namespace",
         "period", "queryMode", "refId", "region", "statistic"}


@cache
def resources():
    """Returns every resource of the templates."""
    return [resource for path in templates.paths(ROOT) for resource in templates.read(path)["Resources"].values()]


def grafana():
    return {path.name: json.loads(path.read_text()) for path in sorted((ROOT / "localstack/grafana").glob("*.json"))}


def cloudwatch():
    """Returns the bodies of the dashboards as CloudFormation passes them to CloudWatch."""
    found = {}
    for properties in (each["Properties"] for each in resources() if each["Type"] == "AWS::CloudWatch::Dashboard"):
        body = properties["DashboardBody"].replace("${Shop}", "shop").replace("${AWS::Region}", "eu-central-1").replace("${!", "${")
        found[properties["DashboardName"].replace("${Shop}", "shop")] = json.loads(body)
    return found


def names():
    """Returns the names of functions, queues and tables, without the stack's."""
    found = set()
    for resource in resources():
        for name in ("FunctionName", "QueueName", "TableName"):
            value = str(resource.get("Properties", {}).get(name, ""))
            found.add(re.sub(r"^\$\{(Shop|AWS::StackName)\}-", "", value))
    return found


def overlap(one, other):
    return (one["x"] < other["x"] + other["w"] and other["x"] < one["x"] + one["w"]
            and one["y"] < other["y"] + other["h"] and other["y"] < one["y"] + one["h"])


class Positions(unittest.TestCase):
    def check_positions(self, dashboard, positions):
        for position in positions:
            self.assertTrue(0 <= position["x"] and 0 < position["w"] and position["x"] + position["w"] <= COLUMNS, f"{dashboard}: {position}")
        for one, other in itertools.combinations(positions, 2):
            self.assertFalse(overlap(one, other), f"{dashboard}: {one} overlaps {other}")

    def check_dimensions(self, stack, dimensions, known):
        for name, value in dimensions.items():
            if name in ("FunctionName", "QueueName", "TableName"):
                self.assertIn(value.removeprefix(f"{stack}-"), known, f"no template has the resource {value}")
        if "Resource" in dimensions:
            self.assertEqual(dimensions["Resource"], f"{dimensions['FunctionName']}:live")
        if "ApiName" in dimensions:
            self.assertEqual((dimensions["ApiName"], dimensions["Stage"]), (stack, "v1"))


class Grafana(Positions):
    def test_both_dashboards_have_what_an_import_needs(self):
        dashboards = grafana()
        self.assertEqual(sorted(dashboards), ["operations.json", "shop.json"])
        self.assertEqual(len({each["uid"] for each in dashboards.values()}), 2)
        for dashboard in dashboards.values():
            self.assertIsNone(dashboard["id"], "Grafana assigns the id at the import")
            self.assertRegex(dashboard["uid"], r"^[a-zA-Z0-9_-]{1,40}$")
            self.assertGreaterEqual(dashboard["schemaVersion"], 36, "from 36 on a data source is an object with type and uid")
            self.assertEqual(dashboard["annotations"], {"list": []})
            variables = {each["name"]: each for each in dashboard["templating"]["list"]}
            self.assertEqual(sorted(variables), ["datasource", "region", "stack"])
            self.assertEqual((variables["datasource"]["type"], variables["datasource"]["query"]), ("datasource", "cloudwatch"))
            self.assertEqual((variables["region"]["type"], variables["region"]["query"]), ("query", "regions()"))
            self.assertEqual((variables["stack"]["type"], variables["stack"]["query"]), ("textbox", "ferrocart"))

    def test_panels_have_unique_ids_and_do_not_overlap(self):
        for name, dashboard in grafana().items():
            ids = [panel["id"] for panel in dashboard["panels"]]
            self.assertEqual(len(ids), len(set(ids)))
            self.assertTrue(all(isinstance(id, int) and id > 0 for id in ids))
            self.assertEqual({panel["type"] for panel in dashboard["panels"]}, {"row", "timeseries"})
            self.check_positions(name, [panel["gridPos"] for panel in dashboard["panels"]])

    def test_targets_are_queries_of_the_cloudwatch_data_source(self):
        known = names()
        for dashboard in grafana().values():
            for panel in (each for each in dashboard["panels"] if each["type"] == "timeseries"):
                with self.subTest(panel["title"]):
                    self.assertTrue(panel["targets"])
                    references = [target["refId"] for target in panel["targets"]]
                    self.assertEqual(len(references), len(set(references)))
                    for target in panel["targets"]:
                        self.check_target(target, panel, known)

    def check_target(self, target, panel, known):
        self.assertEqual(set(target), QUERY)
        self.assertEqual(target["datasource"], {"type": "cloudwatch", "uid": "${datasource}"})
        self.assertEqual(target["datasource"], panel["datasource"])
        # 0 and 0: a search by namespace, metric and dimensions, as the builder writes it.
        self.assertEqual((target["queryMode"], target["metricQueryType"], target["metricEditorMode"]), ("Metrics", 0, 0))
        self.assertEqual((target["region"], target["period"], target["matchExact"]), ("$region", "300", True))
        self.assertRegex(target["statistic"], rf"^({STATISTICS})$")
        self.assertTrue(any("$stack" in value for value in target["dimensions"].values()), f"{target} is about every stack")
        self.check_dimensions("$stack", target["dimensions"], known)


class CloudWatch(Positions):
    def test_widgets_are_placed_in_the_grid(self):
        dashboards = cloudwatch()
        self.assertEqual(sorted(dashboards), ["shop-operations", "shop-shop"])
        for name, body in dashboards.items():
            self.assertEqual({widget["type"] for widget in body["widgets"]} - {"text", "metric", "log"}, set())
            self.check_positions(name, [{"x": each["x"], "y": each["y"], "w": each["width"], "h": each["height"]} for each in body["widgets"]])

    def test_metrics_name_existing_resources_of_the_stack(self):
        known = names()
        for body in cloudwatch().values():
            for widget in (each for each in body["widgets"] if each["type"] == "metric"):
                self.assertEqual((widget["properties"]["region"], widget["properties"]["period"]), ("eu-central-1", 300))
                for metric in widget["properties"]["metrics"]:
                    with self.subTest(str(metric)):
                        self.check_metric(metric, known)

    def check_metric(self, metric, known):
        options = metric[-1]
        if "expression" in options:
            search = re.fullmatch(rf"SEARCH\('\{{([\w/]+)((?:,\w+)+)\}} MetricName=\"(\w+)\"((?: \w+=\"[\w-]+\")+)', '({STATISTICS})', 300\)",
                                  options["expression"])
            self.assertTrue(search, options["expression"])
            self.assertRegex(options["id"], r"^[a-z]\w*$")
            given = dict(re.findall(r' (\w+)="([\w-]+)"', search[4]))
            (by,) = set(search[2].strip(",").split(",")) - set(given)
            self.assertIn(f"${{PROP('Dim.{by}')}}", options["label"])
            self.check_dimensions("shop", given, known)
        else:
            self.assertRegex(options["stat"], rf"^({STATISTICS})$")
            self.assertEqual(len(metric) % 2, 1, "namespace, metric, pairs of name and value, options")
            self.check_dimensions("shop", dict(zip(metric[2:-1:2], metric[3:-1:2])), known)

    def test_every_function_is_on_the_operations_dashboard(self):
        text = json.dumps(cloudwatch()["shop-operations"])
        for resource in (each for each in resources() if each["Type"] == "AWS::Serverless::Function"):
            name = resource["Properties"]["FunctionName"].replace("${Shop}", "shop")
            # Invocations, errors, throttles, and two percentiles of the duration.
            self.assertEqual(text.count(f'"{name}:live"'), 5, name)

    def test_both_kinds_show_the_same_metrics(self):
        for name, dashboard in grafana().items():
            shown = [(panel["title"], sorted(target["metricName"] for target in panel["targets"]))
                     for panel in dashboard["panels"] if panel["type"] == "timeseries"]
            metrics = [(widget["properties"]["title"], sorted(
                re.search(r'MetricName="(\w+)"', each[0]["expression"])[1] if len(each) == 1 else each[1] for each in widget["properties"]["metrics"]))
                for widget in cloudwatch()[f"shop-{name.removesuffix('.json')}"]["widgets"] if widget["type"] == "metric"]
            self.assertEqual(shown, metrics)


if __name__ == "__main__":
    unittest.main()

"""Which functions a deployment publishes, and what the check of their new versions reads."""

import json
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import fakes  # noqa: F401 (adds the tools to the path)

import release_checks  # noqa: E402
import stack as local  # noqa: E402
import templates  # noqa: E402

PARAMETERS = {"PaymentProvider": "simulated", "SenderAddress": "a@example.com"}
# Prints the versions that SAM generates for the template in the first argument.
TRANSFORM = """
import json, sys, boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
template = json.load(open(sys.argv[1]))
for resource in template["Resources"].values():
    if resource["Type"] == "AWS::Serverless::Function":
        resource["Properties"]["CodeUri"] = "s3://bucket/code"
session = boto3.Session(region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")
values = {name: str(each.get("Default", "x")) for name, each in template["Parameters"].items()}
print(json.dumps(sorted(Translator({}, Parser(), boto_session=session).translate(template, values)["Resources"])))
"""


class Written(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.code = cls.folder / "code"
        cls.code.mkdir()
        for path in local.ROOT.glob("functions/*/src/bin/*.rs"):
            (cls.code / f"{path.stem}.zip").write_bytes(path.stem.encode())
        cls.first = cls.write({})

    @classmethod
    def write(cls, parameters):
        place = cls.folder / "written"
        shutil.rmtree(place, ignore_errors=True)
        templates.write(local.ROOT, place, PARAMETERS | parameters, lambda name: cls.code / f"{name}.zip")
        return {path.parent.name: json.loads(path.read_text()) for path in place.glob("functions/*/template.yaml")}

    @staticmethod
    def functions(written):
        return {name: each["Properties"] for template in written.values() for name, each in template["Resources"].items()
                if each["Type"] == templates.FUNCTION}

    def published(self, parameters=None):
        """Returns the functions whose digest differs from that of the first deployment."""
        before, after = self.functions(self.first), self.functions(self.write(parameters or {}))
        self.assertEqual(sorted(before), sorted(after))
        return sorted(name for name in after if after[name]["AutoPublishCodeSha256"] != before[name]["AutoPublishCodeSha256"])


class Versions(Written):
    def test_nothing_changed_publishes_no_version(self):
        self.assertEqual(self.published(), [])

    def test_default_and_explicit_value_are_the_same(self):
        default = templates.read(local.ROOT / "template.yaml")["Parameters"]["RetrySeconds"]["Default"]
        self.assertEqual(self.published({"RetrySeconds": str(default)}), [])

    def test_a_parameter_publishes_exactly_the_functions_that_use_it(self):
        of = {service: sorted(self.functions({service: template})) for service, template in self.first.items()}
        for parameter, value, expected in [
                ("ReconcileCallsPerSecond", "20", ["ReconcilePaymentsFunction"]),
                ("ShopName", "Lamps", of["notifications"]),
                ("SessionMaxDays", "90", of["users"]),
                ("RetrySeconds", "30", sorted(of["orders"] + of["payments"])),
                ("AccountConcurrency", "500", []),
                ("OperatorRoleArn", "arn:aws:iam::111111111111:role/operator", []),
                ("Canary", "AllAtOnce", []),
                ("Architecture", "x86_64", sorted(name for each in of.values() for name in each))]:
            with self.subTest(parameter):
                self.assertEqual(self.published({parameter: value}), expected)

    def test_one_zip_publishes_one_version(self):
        zip_file = self.code / "list-products.zip"
        before = zip_file.read_bytes()
        self.addCleanup(zip_file.write_bytes, before)
        zip_file.write_bytes(b"the next release")
        self.assertEqual(self.published(), ["ListProductsFunction"])

    def test_code_in_a_folder_counts_with_its_names(self):
        folder = self.folder / "folder"
        folder.mkdir()
        (folder / "bootstrap").write_text("1")
        one = templates.code_digest(folder)
        (folder / "bootstrap").rename(folder / "other")
        self.assertNotEqual(templates.code_digest(folder), one)

    def test_sam_names_each_version_by_its_digest(self):
        path = self.folder / "catalog.json"
        path.write_text(json.dumps(self.first["catalog"]))
        result = subprocess.run([local.TOOLS / "bin/python", "-c", TRANSFORM, path], capture_output=True, text=True, check=True)
        versions = [name for name in json.loads(result.stdout) if "FunctionVersion" in name]
        expected = [f"{name}Version{each['AutoPublishCodeSha256'][:10]}" for name, each in self.functions({"": self.first["catalog"]}).items()]
        self.assertEqual(sorted(versions), sorted(expected))

    def test_no_function_is_configured_with_the_deployment(self):
        """A deployment's version, commit or time in a configuration would publish every function each time."""
        for name, function in self.functions(self.first).items():
            variables = function["Environment"]["Variables"]
            self.assertFalse([each for each in variables if each in ("VERSION", "COMMIT", "DEPLOYED_AT", "SETTINGS_DIGEST")], name)

    def test_the_emulator_publishes_versions_without_codedeploy(self):
        on_aws = [template for template in self.first.values() if "DeploymentPreference" in template["Globals"]["Function"]]
        self.assertEqual(len(on_aws), len(self.first))
        for template in self.write({"Local": "true"}).values():
            self.assertNotIn("DeploymentPreference", json.dumps(template))


class Checks(Written):
    def checks(self, function, parameters=None):
        written = self.functions(self.write(parameters) if parameters else self.first)[function]
        return json.loads(written["Environment"]["Variables"]["RELEASE_CHECKS"]["Fn::Sub"])

    def test_secrets_and_readable_tables_are_read(self):
        self.assertEqual(self.checks("CreateOrderFunction"), [
            {"secret": "${Shop}/orders-key"},
            {"table": {"name": "${Shop}-order-carts", "read": "BatchGetItem", "key": ["pk"]}},
            {"table": {"name": "${Shop}-order-products", "read": "BatchGetItem", "key": ["pk"]}},
            {"table": {"name": "${Shop}-orders", "read": "BatchGetItem", "key": ["pk"]}}])

    def test_a_table_that_may_only_be_written_is_not_read(self):
        self.assertEqual(self.checks("OpenPaymentFunction"), [{"table": {"name": "${Shop}-payments"}}])

    def test_indexes_and_tables_of_other_services_are_read(self):
        checks = self.checks("ReconcileLedgerFunction")
        self.assertIn({"table": {"name": "${Shop}-orders", "index": "status-index", "read": "Query", "key": ["status_shard", "listed_at"]}}, checks)
        self.assertIn({"table": {"name": "${Shop}-stock", "read": "GetItem", "key": ["pk"]}}, checks)

    def test_the_provider_decides_what_is_read(self):
        stripe = {"secret": "${Shop}/stripe-key"}
        self.assertNotIn(stripe, self.checks("CreatePaymentFunction"))
        checks = self.checks("CreatePaymentFunction", {"PaymentProvider": "stripe"})
        self.assertIn(stripe, checks)
        self.assertNotIn("payment-simulator", json.dumps(checks))

    def test_a_name_of_a_secret_in_another_service_is_read(self):
        self.assertIn({"secret": "${Shop}/mail-token-key"}, self.checks("SendAccountNotificationFunction"))

    def test_checks_use_only_calls_that_the_policy_allows(self):
        root = json.loads((self.folder / "written/template.yaml").read_text())
        settings = templates.Settings(root, PARAMETERS)
        for service, template in self.first.items():
            own = templates.Settings(template, settings.values)
            for name, function in self.functions({service: template}).items():
                allowed = json.dumps(own.resolve(function.get("Policies", [])))
                for check in json.loads(function["Environment"]["Variables"]["RELEASE_CHECKS"]["Fn::Sub"]):
                    call = "secretsmanager:GetSecretValue" if "secret" in check else f"dynamodb:{check['table'].get('read', '')}"
                    self.assertIn(call, allowed, f"{name} checks {check}")

    def test_a_policy_with_an_unknown_table_is_an_error(self):
        policies = [{"Statement": [{"Action": "dynamodb:GetItem", "Resource": "arn:aws:dynamodb:x:1:table/shop-nothing"}]}]
        with self.assertRaisesRegex(ValueError, "names shop-nothing, the table, but no template has it"):
            release_checks.derive(policies, {"Resources": {}}, {})


class Resolved(unittest.TestCase):
    SETTINGS = templates.Settings({
        "Parameters": {"Count": {"Default": 5}, "Name": {"Default": "a"}, "Shop": {}},
        "Conditions": {"IsA": {"Fn::Equals": [{"Ref": "Name"}, "a"]}, "IsNotA": {"Fn::Not": [{"Condition": "IsA"}]},
                       "Either": {"Fn::Or": [{"Condition": "IsA"}, {"Condition": "IsNotA"}]}},
        "Mappings": {"Sizes": {"5": {"Big": 9}}}}, {"Shop": {"Ref": "AWS::StackName"}})

    def test_parameters_conditions_and_mappings_are_inserted(self):
        for value, expected in [
                ({"Ref": "Count"}, "5"),
                ({"Ref": "Table"}, {"Ref": "Table"}),
                ({"Fn::Sub": "${Name}-${Count}"}, "a-5"),
                ({"Fn::Sub": "${Shop}-${Name}"}, {"Fn::Sub": "${Shop}-a"}),
                ({"Fn::If": ["IsA", "yes", "no"]}, "yes"),
                ({"Fn::If": ["IsNotA", "yes", "no"]}, "no"),
                ([1, {"Fn::If": ["Either", {"Ref": "AWS::NoValue"}, 2]}], [1]),
                ({"A": 1, "B": {"Ref": "AWS::NoValue"}}, {"A": 1}),
                ({"Fn::FindInMap": ["Sizes", {"Ref": "Count"}, "Big"]}, 9)]:
            self.assertEqual(self.SETTINGS.resolve(value), expected)


class GatewayResponses(unittest.TestCase):
    """The responses that stack.py sets on the emulator."""

    def test_links_of_problems_lead_below_the_stage_of_the_emulator(self):
        gateway = mock.Mock()
        parameters = PARAMETERS | {"Local": "true", "CorsOrigin": "http://localhost:5173", "DomainName": "api.example.com"}
        local.put_gateway_responses(mock.Mock(client=lambda _service: gateway), "api-1", parameters)
        responses = [call.kwargs for call in gateway.put_gateway_response.call_args_list]
        self.assertIn("UNAUTHORIZED", [each["responseType"] for each in responses])
        for response in responses:
            headers, problem = response["responseParameters"], json.loads(response["responseTemplates"]["application/json"])
            self.assertEqual(headers["gatewayresponse.header.Link"],
                             f"'</_aws/execute-api/api-1/v1/problems/{problem['code']}>; rel=\"help\"'")
            self.assertEqual(headers["gatewayresponse.header.Access-Control-Allow-Origin"], "'http://localhost:5173'")
            self.assertEqual(problem["type"], f"https://ferrocart.dev/problems/{problem['code']}")


if __name__ == "__main__":
    unittest.main()

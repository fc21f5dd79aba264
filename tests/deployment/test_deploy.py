"""The effects of `make deploy` and `make destroy` on an account."""

import argparse
import builtins
import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from botocore.exceptions import NoCredentialsError

from fakes import PACKAGED, Aws, error

import account  # noqa: E402 (fakes.py adds it to the path)
import answers as config  # noqa: E402
import deploy  # noqa: E402
import releases  # noqa: E402
import stored_states  # noqa: E402
from deploy import Stacks, CommandError  # noqa: E402

STEPS = [100, 200, 500, 1000, 2000, 5000]
ANSWERS = config.Answers("shop", "eu-west-1", {"Stage": "dev", "SenderAddress": "a@example.com", "PaymentProvider": "simulated"})


def stacks(aws):
    return Stacks(aws, ANSWERS, sleep=lambda _: None)


class Account(unittest.TestCase):
    def test_missing_credentials_are_named_in_one_sentence(self):
        def client(_service):
            raise NoCredentialsError

        with self.assertRaisesRegex(CommandError, "^There are no AWS credentials .*: run aws configure sso, or set AWS_PROFILE, then try again.$"):
            account.check_credentials(client)

    def test_expired_credentials_are_named_in_one_sentence(self):
        aws = Aws()
        aws.get_caller_identity = mock.Mock(side_effect=error("ExpiredToken"))
        with self.assertRaisesRegex(CommandError, r"^AWS does not accept the credentials \(ExpiredToken\): log in again"):
            account.check_credentials(aws)

    def test_too_little_concurrency_is_rejected_unless_forced(self):
        aws = Aws(limit=10)
        with self.assertRaisesRegex(CommandError, "allows 10 concurrent .*request-service-quota-increase .*--region eu-west-1.*FORCE=1"):
            account.concurrency(aws, "eu-west-1", STEPS)
        self.assertEqual(account.concurrency(aws, "eu-west-1", STEPS, force=True), 100)

    def test_concurrency_is_the_largest_step_that_the_account_allows(self):
        for limit, expected in [(100, 100), (999, 500), (1000, 1000), (40_000, 5000)]:
            self.assertEqual(account.concurrency(Aws(limit=limit), "eu-west-1", STEPS), expected)

    def test_chosen_concurrency_must_fit_into_the_account(self):
        self.assertEqual(account.concurrency(Aws(limit=1000), "eu-west-1", STEPS, "500"), 500)
        with self.assertRaisesRegex(CommandError, "AccountConcurrency is 2000, but the account allows 1000"):
            account.concurrency(Aws(limit=1000), "eu-west-1", STEPS, "2000")

    def test_sender_identity_is_created_unless_the_account_has_it(self):
        for identities, owned, expected in [((), False, "create"), (("a@example.com",), False, "existing"), (("example.com",), False, "existing"),
                                            (("a@example.com",), True, "create")]:
            self.assertEqual(account.sender_identity(Aws(identities=identities), "a@example.com", owned), expected)


class Cache(unittest.TestCase):
    """The settings of the gateway's cache that CloudFormation cannot make."""

    def protect(self, settings):
        gateway = mock.Mock()
        gateway.get_stage.return_value = {"methodSettings": settings}
        with contextlib.redirect_stderr(io.StringIO()) as said:
            deploy.protect_cache(gateway, "api-1")
        calls = [call.kwargs for call in gateway.update_stage.call_args_list]
        return {each["path"]: each["value"] for call in calls for each in call["patchOperations"]}, said.getvalue()

    def test_clients_cannot_clear_the_cache(self):
        open_to_all = {"cachingEnabled": True, "requireAuthorizationForCacheControl": False,
                       "unauthorizedCacheControlHeaderStrategy": "SUCCEED_WITHOUT_RESPONSE_HEADER"}
        changed, said = self.protect({"*/*": {"cachingEnabled": False}, "~1orders/GET": {"cachingEnabled": False}, "~1products/GET": open_to_all})
        self.assertEqual(changed, {
            "/~1products/GET/caching/requireAuthorizationForCacheControl": "true",
            "/~1products/GET/caching/unauthorizedCacheControlHeaderStrategy": "SUCCEED_WITH_RESPONSE_HEADER"})
        self.assertIn("the gateway's cache is on for /products/GET", said)

    def test_protected_cache_is_not_changed(self):
        changed, _ = self.protect({"~1products/GET": {"cachingEnabled": True, "requireAuthorizationForCacheControl": True,
                                                      "unauthorizedCacheControlHeaderStrategy": "SUCCEED_WITH_RESPONSE_HEADER"}})
        self.assertEqual(changed, {})


class Greeting(unittest.TestCase):
    def test_domain_without_zone_names_its_record(self):
        outputs = {"ApiUrl": "https://api-1.example/v1", "DomainUrl": "https://api.example.com/v1", "DomainTarget": "d-1.example"}
        answers = config.Answers("shop", "eu-west-1", ANSWERS.parameters | {"DomainName": "api.example.com"})
        with contextlib.redirect_stdout(io.StringIO()) as said:
            deploy.greet(Aws(identities=["a@example.com"]), mock.Mock(outputs=lambda: outputs), answers)
        self.assertEqual(said.getvalue().split("\n")[1:4], [
            "https://api-1.example/v1", "https://api.example.com/v1", "Create a CNAME record for api.example.com: d-1.example"])


class BeforeADeployment(unittest.TestCase):
    def test_a_stack_that_was_never_created_is_deleted(self):
        aws = Aws("ROLLBACK_COMPLETE")
        with contextlib.redirect_stderr(io.StringIO()) as said:
            stacks(aws).make_deployable()
        self.assertEqual(aws.changes, ["delete stack arn:stack"])
        self.assertIn("deleting the stack", said.getvalue())

    def test_a_failed_rollback_names_the_one_command(self):
        aws = Aws("UPDATE_ROLLBACK_FAILED")
        with self.assertRaisesRegex(CommandError, "run: aws cloudformation continue-update-rollback --stack-name shop --region eu-west-1$"):
            stacks(aws).make_deployable()
        self.assertEqual(aws.changes, [])

    def test_other_states_are_unchanged_or_rejected(self):
        for state in (None, "CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"):
            aws = Aws(state)
            stacks(aws).make_deployable()
            self.assertEqual(aws.changes, [])
        for state in ("UPDATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "DELETE_FAILED", "ROLLBACK_FAILED"):
            with self.assertRaisesRegex(CommandError, state):
                stacks(Aws(state)).make_deployable()


    def test_the_first_failure_of_the_last_deployment_is_named(self):
        self.assertEqual(stacks(Aws("ROLLBACK_COMPLETE")).why_it_failed(), "Fix the cause: Queue: queue already exists.")


class Protection(unittest.TestCase):
    def test_only_tables_that_lack_it_are_protected(self):
        aws = Aws("CREATE_COMPLETE", {"orders": True, "users": False, "later": False})
        self.assertEqual(stacks(aws).protect(True), ["later", "users"])
        self.assertEqual((aws.changes, stacks(aws).protect(True)), (["protect later", "protect users"], []))

    def test_tables_of_nested_stacks_are_protected(self):
        aws = Aws("CREATE_COMPLETE", {"orders": False, "ledger": False})
        aws.nested = ["ledger"]
        self.assertEqual(stacks(aws).protect(True), ["ledger", "orders"])

    def test_a_busy_table_is_retried(self):
        aws = Aws("CREATE_COMPLETE", {"orders": False})
        aws.busy = 3
        self.assertEqual(stacks(aws).protect(True), ["orders"])


class Deploy(unittest.TestCase):
    def deploy(self, aws, answers=ANSWERS, sam=0, **options):
        """Runs a deployment and returns what it prints. `self.commands` has the commands of sam, `aws.changes` the changes."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "samconfig.toml"
            config.write(answers, config.definitions(), path)
            args = argparse.Namespace(**{"config": path, "architecture": None, "link": "dynamic", "templates": None, "force": False} | options)
            self.commands = []

            def run(command, **_):
                self.commands.append([str(word) for word in command])
                if "package" in command:
                    Path(command[command.index("--output-template-file") + 1]).write_text(PACKAGED)
                if "deploy" in command and sam == 0:
                    aws.stack_state = "CREATE_COMPLETE"
                return argparse.Namespace(returncode=sam if "deploy" in command else 0)

            with mock.patch("subprocess.run", run), mock.patch.object(deploy, "greet"), mock.patch("releases.commit", lambda: "0a1b2c3d"), \
                    contextlib.redirect_stderr(io.StringIO()) as said:
                deploy.deploy(lambda _region: aws, args)
            return said.getvalue()

    def test_checks_come_before_the_build_and_protection_after_the_deployment(self):
        aws = Aws(None, {"orders": False})
        self.deploy(aws)
        build, package, sam = self.commands
        self.assertEqual(build, ["make", "release", "ARCHITECTURE=arm64", "LINK=dynamic"])
        self.assertIn("AccountConcurrency=1000", sam)
        self.assertIn("SenderIdentity=create", sam)
        self.assertEqual(aws.changes, ["protect orders"])
        self.assertEqual(package[package.index("--output-template-file") + 1], sam[sam.index("--template-file") + 1])
        with self.assertRaisesRegex(CommandError, "allows 50 concurrent"):
            self.deploy(Aws(limit=50))
        self.assertEqual(self.commands, [])

    def test_a_deployment_that_fails_protects_nothing_and_says_what_to_do(self):
        for state, said in [("ROLLBACK_COMPLETE", "run make deploy again"), ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"),
                            ("UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")]:
            aws = Aws(None, {"orders": False})

            def fail(*_args, aws=aws, state=state, **_kwargs):
                aws.stack_state = state

            with mock.patch.object(Stacks, "owns", side_effect=fail), self.assertRaisesRegex(CommandError, said):
                self.deploy(aws, sam=1)
            self.assertEqual((aws.changes, aws.items, aws.invocations), ([], {}, []))

    def test_the_health_is_checked_once_after_the_deployment_is_recorded(self):
        aws = Aws(None, {"orders": False})
        with mock.patch("releases.now", lambda: "2099-01-01T00:00:00.000Z"):
            said = self.deploy(aws)
        self.assertEqual(aws.invocations, [("shop-check-health:live", {}, "2099-01-01T00:00:00.000Z")])
        self.assertNotIn("warning", said)

    def test_a_failed_check_of_the_health_is_a_warning(self):
        for fault, reason in [(error("AccessDeniedException", "no permission\nto invoke"), "no permission to invoke"),
                              ('{"errorType": "TableFailed"}', "TableFailed")]:
            aws = Aws(None, {"orders": False})
            aws.fault = fault
            said = self.deploy(aws)
            self.assertRegex(said, f"warning: shop-check-health .*{reason}.*; GET /health shows this deployment after the next check")
            self.assertEqual((len(aws.invocations), aws.changes), (1, ["protect orders"]))

    def test_each_deployment_is_recorded_with_its_templates_and_the_one_before(self):
        aws = Aws(None, {"orders": False})
        self.deploy(aws)
        first = releases.current(aws, "shop")
        self.assertEqual((first["version"], first["commit"]), (releases.version(), "0a1b2c3d"))
        self.assertEqual(first["stored_states"], set(stored_states.known()))
        self.assertNotIn("previous", first)
        self.assertEqual(aws.objects["the-bucket", f"shop/deployments/{first['deployed_at']}/template.yaml"], PACKAGED.encode())
        parameters = aws.objects["the-bucket", f"shop/deployments/{first['deployed_at']}/parameters.json"]
        self.assertEqual(json.loads(parameters)["AccountConcurrency"], 1000)
        self.assertEqual(first["templates"], f"s3://the-bucket/shop/deployments/{first['deployed_at']}")
        with mock.patch("releases.now", lambda: "2099-01-01T00:00:00.000Z"):
            self.deploy(aws)
        second = releases.current(aws, "shop")
        self.assertEqual((second["previous"], second["deployed_at"]), (f"deployment#{first['deployed_at']}", "2099-01-01T00:00:00.000Z"))
        self.assertEqual(releases.find(aws, "shop", second["previous"])["deployed_at"], first["deployed_at"])

    def test_functions_are_linked_as_the_command_says(self):
        self.deploy(Aws(), link="static")
        self.assertEqual(self.commands[0], ["make", "release", "ARCHITECTURE=arm64", "LINK=static"])

    def test_another_architecture_than_the_stored_one_is_rejected(self):
        with self.assertRaisesRegex(CommandError, "says Architecture=arm64"):
            self.deploy(Aws(), architecture="x86_64")


class Destroy(unittest.TestCase):
    def destroy(self, aws, typed):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "samconfig.toml"
            config.write(ANSWERS, config.definitions(), path)
            with mock.patch.object(builtins, "input", return_value=typed), contextlib.redirect_stdout(io.StringIO()), \
                    contextlib.redirect_stderr(io.StringIO()):
                deploy.destroy(lambda _region: aws, argparse.Namespace(config=path))

    def test_protection_goes_first_then_the_tables_then_the_stack(self):
        aws = Aws("UPDATE_COMPLETE", {"orders": True, "users": True})
        self.destroy(aws, "shop")
        self.assertEqual(aws.changes, ["unprotect orders", "unprotect users", "delete table orders", "delete table users",
                                       "delete stack arn:stack"])

    def test_another_name_deletes_nothing(self):
        for typed in ("", "yes", "shop2"):
            aws = Aws("UPDATE_COMPLETE", {"orders": True})
            with self.assertRaisesRegex(CommandError, "nothing is deleted"):
                self.destroy(aws, typed)
            self.assertEqual(aws.changes, [])

    def test_an_interrupted_destroy_is_continued(self):
        aws = Aws("UPDATE_COMPLETE", {"orders": None, "users": False})
        self.destroy(aws, "shop")
        self.assertEqual(aws.changes, ["delete table users", "delete stack arn:stack"])

    def test_a_stack_that_is_being_changed_is_not_deleted(self):
        aws = Aws("UPDATE_IN_PROGRESS", {"orders": True})
        with self.assertRaisesRegex(CommandError, "wait until that has ended"):
            self.destroy(aws, "shop")
        self.assertEqual(aws.changes, [])


if __name__ == "__main__":
    unittest.main()

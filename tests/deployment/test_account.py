"""The account settings that a deployment needs."""

import sys
import unittest
from pathlib import Path

import boto3
from botocore.stub import Stubber

sys.path.insert(0, str(Path(__file__).parents[2] / "localstack"))
import account  # noqa: E402

ROLE = "arn:aws:iam::111111111111:role/api-gateway-logs"


class LogRole(unittest.TestCase):
    def setUp(self):
        self.clients = {name: boto3.client(name, region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
                        for name in ("apigateway", "iam")}
        self.gateway, self.iam = (Stubber(self.clients[name]) for name in ("apigateway", "iam"))
        for stub in (self.gateway, self.iam):
            stub.activate()
        self.slept = []

    def ensure(self):
        role = account.ensure_log_role(self.clients.get, lambda text: None, self.slept.append)
        self.gateway.assert_no_pending_responses()
        self.iam.assert_no_pending_responses()
        return role

    def expect_role(self, created=True):
        role = {"Role": {"Arn": ROLE, "RoleName": "api-gateway-logs", "Path": "/", "RoleId": "A" * 16, "CreateDate": 0}}
        if created:
            self.iam.add_response("create_role", role)
        else:
            self.iam.add_client_error("create_role", "EntityAlreadyExists", http_status_code=409)
            self.iam.add_response("get_role", role, {"RoleName": "api-gateway-logs"})
        policy = "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
        self.iam.add_response("attach_role_policy", {}, {"RoleName": "api-gateway-logs", "PolicyArn": policy})

    def expect_update(self):
        change = [{"op": "replace", "path": "/cloudwatchRoleArn", "value": ROLE}]
        self.gateway.add_response("update_account", {"cloudwatchRoleArn": ROLE}, {"patchOperations": change})

    def test_an_existing_role_is_never_replaced(self):
        self.gateway.add_response("get_account", {"cloudwatchRoleArn": "arn:aws:iam::111111111111:role/theirs"})
        self.assertEqual(self.ensure(), "arn:aws:iam::111111111111:role/theirs")

    def test_a_missing_role_is_created_and_set(self):
        self.gateway.add_response("get_account", {})
        self.expect_role()
        self.expect_update()
        self.assertEqual(self.ensure(), ROLE)

    def test_an_interrupted_run_is_continued(self):
        self.gateway.add_response("get_account", {})
        self.expect_role(created=False)
        self.expect_update()
        self.assertEqual(self.ensure(), ROLE)

    def test_the_update_is_repeated_until_api_gateway_can_use_the_role(self):
        self.gateway.add_response("get_account", {})
        self.expect_role()
        for _ in range(2):
            self.gateway.add_client_error("update_account", "BadRequestException", http_status_code=400)
        self.expect_update()
        self.assertEqual((self.ensure(), self.slept), (ROLE, [5, 5]))


if __name__ == "__main__":
    unittest.main()

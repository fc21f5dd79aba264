#!/usr/bin/env python3
"""What Ferrocart needs of the AWS account itself. No stack owns these settings, because every stack of the account shares them."""

import argparse
import json
import time

import deployment
import stack as local

LOG_ROLE = "api-gateway-logs"
LOG_POLICY = "service-role/AmazonAPIGatewayPushToCloudWatchLogs"
PATIENCE_SECONDS = 60


def ensure_log_role(client, say, sleep=time.sleep):
    """Gives API Gateway a role to write logs with, in the region of `client`, unless it has one. Never replaces a role.

    The template has no AWS::ApiGateway::Account: a stack that is deleted would take the role away from every other API.
    """
    gateway, iam = client("apigateway"), client("iam")
    present = gateway.get_account().get("cloudwatchRoleArn")
    if present:
        say(f"API Gateway writes logs with {present}")
        return present
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "apigateway.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    try:
        role = iam.create_role(RoleName=LOG_ROLE, AssumeRolePolicyDocument=json.dumps(trust),
                               Description="API Gateway writes access logs with it, for all APIs of the account.")["Role"]["Arn"]
    except iam.exceptions.EntityAlreadyExistsException:  # an earlier run ended here
        role = iam.get_role(RoleName=LOG_ROLE)["Role"]["Arn"]
    iam.attach_role_policy(RoleName=LOG_ROLE, PolicyArn=f"arn:{role.split(':')[1]}:iam::aws:policy/{LOG_POLICY}")
    deadline = PATIENCE_SECONDS
    while True:
        try:
            gateway.update_account(patchOperations=[{"op": "replace", "path": "/cloudwatchRoleArn", "value": role}])
            break
        except gateway.exceptions.BadRequestException:  # IAM has not told API Gateway of the role yet
            if deadline <= 0:
                raise
            deadline -= 5
            sleep(5)
    say(f"API Gateway has the role {role} for logs now. It belongs to the account and stays when the stack is deleted.")
    return role


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Gives API Gateway a role to write logs with, unless it has one.")
    parser.add_argument("region", help="the region of the stack")
    raise SystemExit(deployment.main(parser, lambda client, args: ensure_log_role(client, local.say) and 0, deployment.in_region))

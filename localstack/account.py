"""Checks and settings of the AWS account that a deployment needs. No stack owns them, because all stacks of the account share them."""

import json
import time

import stack as local

CommandError = local.CommandError
LEAST_CONCURRENCY = 100
CONCURRENCY_QUOTA = "L-B99A9384"  # "Concurrent executions" of Lambda
LOG_ROLE = "api-gateway-logs"
LOG_POLICY = "service-role/AmazonAPIGatewayPushToCloudWatchLogs"
PATIENCE_SECONDS = 60


def check_credentials(client):
    """Returns the account of the credentials."""
    from botocore import exceptions as boto

    missing = (boto.NoCredentialsError, boto.PartialCredentialsError, boto.ProfileNotFound, boto.CredentialRetrievalError,
               boto.SSOError, boto.TokenRetrievalError)
    try:
        return client("sts").get_caller_identity()["Account"]
    except missing as error:
        raise CommandError(f"There are no AWS credentials ({error}): run aws configure sso, or set AWS_PROFILE, then try again.") from None
    except boto.ClientError as error:
        code = error.response["Error"]["Code"]
        raise CommandError(f"AWS does not accept the credentials ({code}): log in again, then try again.") from None


def concurrency(client, region, steps, chosen=None, force=False):
    """Returns the value for AccountConcurrency: the chosen one if the account allows it, by default the largest that it allows."""
    limit = client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    if limit < LEAST_CONCURRENCY and not force:
        raise CommandError(
            f"The account allows {limit} concurrent Lambda executions in {region}, and Ferrocart needs at least {LEAST_CONCURRENCY}. Ask for"
            f" more: aws service-quotas request-service-quota-increase --service-code lambda --quota-code {CONCURRENCY_QUOTA}"
            f" --desired-value 1000 --region {region}. For a trial: make deploy FORCE=1.")
    if chosen is None:
        return max([step for step in steps if step <= limit], default=min(steps))
    if int(chosen) > limit and not force:
        raise CommandError(f"AccountConcurrency is {chosen}, but the account allows {limit} concurrent Lambda executions in {region}.")
    return int(chosen)


def sender_identity(client, address, owned):
    """Returns the value for SenderIdentity: whether the stack creates the SES identity of its sender. `owned`: it already has."""
    if owned:
        return "create"
    ses = client("sesv2")
    for identity in (address, address.rsplit("@", 1)[1]):
        try:
            ses.get_email_identity(EmailIdentity=identity)
            return "existing"
        except ses.exceptions.NotFoundException:
            pass
    return "create"


def ensure_log_role(client, say, sleep=time.sleep):
    """Sets a role with which API Gateway writes logs in the region of `client`, unless one is set. Never replaces a role.

    The template has no AWS::ApiGateway::Account, because deleting its stack would remove the role from all other APIs.
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
                               Description="API Gateway writes the access logs of all APIs of the account with this role.")["Role"]["Arn"]
    except iam.exceptions.EntityAlreadyExistsException:  # an earlier run was interrupted here
        role = iam.get_role(RoleName=LOG_ROLE)["Role"]["Arn"]
    iam.attach_role_policy(RoleName=LOG_ROLE, PolicyArn=f"arn:{role.split(':')[1]}:iam::aws:policy/{LOG_POLICY}")
    patience = PATIENCE_SECONDS
    while True:
        try:
            gateway.update_account(patchOperations=[{"op": "replace", "path": "/cloudwatchRoleArn", "value": role}])
            break
        except gateway.exceptions.BadRequestException:  # API Gateway does not see the role yet
            if patience <= 0:
                raise
            patience -= 5
            sleep(5)
    say(f"API Gateway now writes logs with {role}. The role belongs to the account and remains when the stack is deleted.")
    return role

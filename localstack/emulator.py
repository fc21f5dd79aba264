"""Runs MiniStack in the foreground. stack.py starts it in the background, with an environment of its own.

It is MiniStack as it comes, but for what is said here.
"""

import json
import socketserver
import threading
from email.utils import parseaddr

# Events reach functions over HTTP on loopback, in small writes that wait for each other's acknowledgement. With these two lines
# one invocation takes 10 ms instead of 60. They must come before MiniStack makes its servers.
socketserver.StreamRequestHandler.disable_nagle_algorithm = True
socketserver.StreamRequestHandler.wbufsize = -1

from ministack.core import iam_actions  # noqa: E402

# Where IAM is enforced, two questions must be asked as AWS asks them, or the template would have to grant what AWS does not know:
# a batch is a right of its single action, and sending a mail is a right on the sender's identity.
BATCHES = {f"sqs:{action}Batch": f"sqs:{action}" for action in ("SendMessage", "DeleteMessage", "ChangeMessageVisibility")}
action_of, resource_of = iam_actions.extract_iam_action, iam_actions.extract_resource_arn


def extract_iam_action(*args, **kwargs):
    action = action_of(*args, **kwargs)
    return BATCHES.get(action, action)


def extract_resource_arn(service, method, path, headers, body, query_params, region, account_id, *args, **kwargs):
    if service == "ses" and path.rstrip("/") == "/v2/email/outbound-emails" and method == "POST":
        sender = parseaddr(json.loads(body or b"{}").get("FromEmailAddress", ""))[1]
        return f"arn:aws:ses:{region}:{account_id}:identity/{sender}"
    return resource_of(service, method, path, headers, body, query_params, region, account_id, *args, **kwargs)


iam_actions.extract_iam_action = extract_iam_action
iam_actions.extract_resource_arn = extract_resource_arn

from ministack.services import apigateway_v1  # noqa: E402

# The import of an OpenAPI document leaves out the method that matches all others of a path.
ANY_METHOD = "x-amazon-apigateway-any-method"
apigateway_v1._OPENAPI_HTTP_METHODS.add(ANY_METHOD)
import_operation = apigateway_v1._import_operation


def import_any_operation(api_id, resource_id, http_method, *args, **kwargs):
    return import_operation(api_id, resource_id, "ANY" if http_method.lower() == ANY_METHOD else http_method, *args, **kwargs)


apigateway_v1._import_operation = import_any_operation

from ministack.services import cloudformation  # noqa: E402
from ministack.services.cloudformation import changesets, engine, handlers, provisioners, stacks  # noqa: E402, F401 (bound before the change)

# A nested stack is created without the SAM transform, and its update forgets the attributes of the resources that stay as they are.
parse_template, update_resource = engine._parse_template, provisioners._update_resource


def parse_and_transform(body):
    template = parse_template(body)
    return engine._apply_transforms(template) if engine.declared_transforms(template) else template


def update_with_attributes(kind, physical_id, old, new, stack, logical_id=None, attributes=None):
    if attributes is None:
        attributes = cloudformation._stacks.get(stack, {}).get("_resources", {}).get(logical_id, {}).get("Attributes")
    return update_resource(kind, physical_id, old, new, stack, logical_id, attributes)


engine._parse_template = parse_and_transform
provisioners._update_resource = update_with_attributes

from ministack.services import cloudwatch_logs, lambda_svc  # noqa: E402

# Lambda calls the streams of a log group that functions share <date>/<function>[<version>]<id>. MiniStack leaves out the function.
emit_lambda_logs, logging = lambda_svc._emit_lambda_logs, threading.Lock()


def emit_with_function_in_stream(function, *args, **kwargs):
    config = function.get("config") or function
    with logging:
        emit_lambda_logs(function, *args, **kwargs)
        group = cloudwatch_logs._log_groups.get((config.get("LoggingConfig") or {}).get("LogGroup"))
        if group and "/[" in (name := next(reversed(group["streams"]), "")):
            group["streams"][name.replace("/[", f"/{config['FunctionName']}[")] = group["streams"].pop(name)


lambda_svc._emit_lambda_logs = emit_with_function_in_stream

from ministack.app import main  # noqa: E402

main()

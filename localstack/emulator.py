"""Runs MiniStack in the foreground, with the changes below. stack.py starts it in the background, in a clean environment."""

import json
import socketserver
import threading
from email.utils import parseaddr

# MiniStack sends events to functions over loopback HTTP in small writes, each of which waits for an acknowledgement. These two lines
# shorten an invocation from 60 ms to 10 ms. They must run before MiniStack creates its servers.
socketserver.StreamRequestHandler.disable_nagle_algorithm = True
socketserver.StreamRequestHandler.wbufsize = -1

from ministack.core import iam_actions  # noqa: E402

# With IAM enforced, MiniStack checks two permissions differently from AWS. On AWS a batch needs the permission of its single action, and
# sending a mail needs a permission on the sender's identity.
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

# MiniStack's import of an OpenAPI document skips the method that matches all other methods of a path.
ANY_METHOD = "x-amazon-apigateway-any-method"
apigateway_v1._OPENAPI_HTTP_METHODS.add(ANY_METHOD)
import_operation = apigateway_v1._import_operation


def import_any_operation(api_id, resource_id, http_method, *args, **kwargs):
    return import_operation(api_id, resource_id, "ANY" if http_method.lower() == ANY_METHOD else http_method, *args, **kwargs)


apigateway_v1._import_operation = import_any_operation

# MiniStack passes a throttled function's error to the client, and that of a function that crashed. API Gateway does not: it answers with the
# gateway response for a failed integration, and with the one for server errors.
proxy_response, invoke_proxy = apigateway_v1._lambda_proxy_response, apigateway_v1._invoke_lambda_proxy_v1


class IntegrationError(Exception):
    """The type of gateway response for an invocation without a response of the function."""


def proxy_response_or_error(result):
    if result.get("throttle"):
        raise IntegrationError("INTEGRATION_FAILURE")
    response, error = proxy_response(result)
    if error:
        raise IntegrationError("DEFAULT_5XX")
    return response, None


async def invoke_proxy_with_gateway_responses(*args, **kwargs):
    try:
        return await invoke_proxy(*args, **kwargs)
    except IntegrationError as error:
        return apigateway_v1._gw_error(str(error), "Internal server error")


apigateway_v1._lambda_proxy_response = proxy_response_or_error
apigateway_v1._invoke_lambda_proxy_v1 = invoke_proxy_with_gateway_responses

from ministack.services import cloudformation  # noqa: E402
from ministack.services.cloudformation import changesets, engine, handlers, provisioners, stacks  # noqa: E402, F401 (bound before the change)

# MiniStack creates a nested stack without the SAM transform, and loses the attributes of unchanged resources when it updates one.
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

# In a shared log group, Lambda names a stream <date>/<function>[<version>]<id>. MiniStack omits the function, and starts a stream with each
# invocation, so that every query visits all invocations. Here a function has one stream per day, as one warm instance has on AWS.
emit_lambda_logs, logging, stream_of_day = lambda_svc._emit_lambda_logs, threading.Lock(), {}


def emit_into_stream_of_day(function, *args, **kwargs):
    config = function.get("config") or function
    with logging:
        emit_lambda_logs(function, *args, **kwargs)
        name = (config.get("LoggingConfig") or {}).get("LogGroup")
        streams = cloudwatch_logs._log_groups.get(name, {}).get("streams", {})
        if "/[" not in (emitted := next(reversed(streams), "")):
            return
        stream, renamed = streams.pop(emitted), emitted.replace("/[", f"/{config['FunctionName']}[")
        day = name, renamed.split("]")[0]
        if stream_of_day.get(day) in streams:
            cloudwatch_logs._append_log_events(streams[stream_of_day[day]], stream["events"])
        else:
            stream_of_day[day], streams[renamed] = renamed, stream


lambda_svc._emit_lambda_logs = emit_into_stream_of_day
# Reserved concurrency belongs to a function and limits all its versions. MiniStack overlooks it when an alias is invoked.
reserved_concurrency = lambda_svc._reserved_concurrency


def reserved_concurrency_of_function(function, config):
    return reserved_concurrency(lambda_svc._functions.get(config.get("FunctionName", "")) or function, config)


lambda_svc._reserved_concurrency = reserved_concurrency_of_function
describe_log_groups = cloudwatch_logs._describe_log_groups


def describe_log_groups_while_functions_log(data):
    """MiniStack adds up the sizes of all entries, and fails if a function starts a stream meanwhile."""
    while True:
        try:
            return describe_log_groups(data)
        except RuntimeError:  # dictionary changed size during iteration
            continue


cloudwatch_logs._describe_log_groups = describe_log_groups_while_functions_log

from ministack.services import ses_v2  # noqa: E402

# MiniStack keeps a mail without its headers. make mails and make trace show the header X-Trace-Id.
handle_ses, headers_of_mails = ses_v2.handle_request, {}


async def handle_and_keep_headers(method, path, headers, body, *args, **kwargs):
    answer = await handle_ses(method, path, headers, body, *args, **kwargs)
    if method == "POST" and path.rstrip("/") == "/v2/email/outbound-emails" and answer[0] == 200:
        given = json.loads(body or b"{}").get("Content", {}).get("Simple", {}).get("Headers", [])
        headers_of_mails[json.loads(answer[2])["MessageId"]] = {header["Name"]: header["Value"] for header in given}
    return answer


ses_v2.handle_request = handle_and_keep_headers

from ministack import app  # noqa: E402

list_mails = app._handle_ses_messages_request


async def list_mails_with_headers(*args, **kwargs):
    answer = await list_mails(*args, **kwargs)
    if not answer or answer[0] != 200:
        return answer
    listed = json.loads(answer[2])
    for mail in (mail for account in listed["messages"].values() for mail in account):
        mail["Headers"] = headers_of_mails.get(mail["MessageId"], {})
    return answer[0], answer[1], json.dumps(listed).encode()


app._handle_ses_messages_request = list_mails_with_headers

app.main()

"""Selects the deployment of an operator's command: the local stack, or a stack on AWS.

The default is the local stack. `--stack NAME` selects the CloudFormation stack of that name in the account and region of the shell's
credentials. AWS_ENDPOINT_URL replaces the address of AWS.
"""

import os
import sys
from pathlib import Path

import stack as local

CommandError, ALIAS = local.CommandError, local.ALIAS


class Deployment:
    def __init__(self, name, client):
        self.name, self.client = name, client

    def function(self, operation):
        return f"{self.name}-{operation}"


def options(parser):
    parser.add_argument("--stack", default=os.environ.get("FERROCART_STACK"), help="a stack on AWS (default: the local one)")
    parser.add_argument("--name", default="local", help="the local stack (default: %(default)s)")


def chosen(args):
    if not args.stack:
        stack = local.Stack(args.name)
        stack.must_be_deployed()
        return Deployment(local.STACK, stack.client)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or region_of_profile()
    if not region:
        raise CommandError("No region is set: set AWS_REGION to the region of the stack.")
    return Deployment(args.stack, clients(region))


def region_of_profile():
    import boto3

    return boto3.session.Session().region_name


def clients(region):
    """Returns a factory of AWS clients in this region."""
    import boto3
    from botocore.config import Config

    return lambda service: boto3.client(service, region_name=region, config=Config(read_timeout=960))


def main(parser, command, choose=chosen):
    """Runs `command` with boto3 available, and prints errors as one sentence."""
    try:
        import boto3  # noqa: F401
    except ImportError:
        python = local.EMULATOR / "bin/python"
        if not python.exists() or Path(sys.prefix) == local.EMULATOR:
            print("error: The tools are not installed yet: run python3 localstack/stack.py setup.", file=sys.stderr)
            return 1
        os.execv(python, [str(python), os.path.abspath(sys.argv[0]), *sys.argv[1:]])
    from botocore.exceptions import BotoCoreError, ClientError

    args = parser.parse_args()
    try:
        return command(choose(args), args) or 0
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
    except (BotoCoreError, ClientError) as error:
        print(f"error: the AWS request failed: {' '.join(str(error).split())}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader, such as head, has exited
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 1


def table(head, rows):
    """Prints rows in columns that are as wide as their longest cell."""
    lines = [head, *rows]
    widths = [max(len(str(line[column])) for line in lines) for column in range(len(head))]
    for line in lines:
        print("  ".join(str(cell).ljust(width) for cell, width in zip(line, widths)).rstrip())

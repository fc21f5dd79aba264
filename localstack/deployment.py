"""Which Ferrocart an operator's command is about: the local stack, or one on AWS.

Without anything said it is the local stack. `--stack NAME` means the CloudFormation stack of that name in the account and region that
the shell's credentials are for; whatever AWS_ENDPOINT_URL names stands for AWS, as everywhere.
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
    parser.add_argument("--name", default="local", help="which local stack (default: %(default)s)")


def chosen(args):
    if not args.stack:
        stack = local.Stack(args.name)
        stack.must_be_deployed()
        return Deployment(local.STACK, stack.client)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or region_of_profile()
    if not region:
        raise CommandError("No region is chosen: set AWS_REGION to the one that the stack is in.")
    return Deployment(args.stack, clients(region))


def region_of_profile():
    import boto3

    return boto3.session.Session().region_name


def clients(region):
    """Makes clients of AWS in this region."""
    import boto3
    from botocore.config import Config

    return lambda service: boto3.client(service, region_name=region, config=Config(read_timeout=960))


def main(parser, command, choose=chosen):
    """Runs `command` with boto3 available, and prints an error as one sentence."""
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
        print(f"error: AWS refused: {' '.join(str(error).split())}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader, for example head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 1


def table(head, rows):
    """Columns as wide as what is in them; the last takes what it needs."""
    lines = [head, *rows]
    widths = [max(len(str(line[column])) for line in lines) for column in range(len(head))]
    for line in lines:
        print("  ".join(str(cell).ljust(width) for cell, width in zip(line, widths)).rstrip())

#!/usr/bin/env python3
"""Rotates and revokes the keys of a deployment.

    keys.py rotate users-key            creates a new server key and keeps the previous one, so sessions continue
    keys.py rotate users-key --revoke   creates a new server key and revokes all others, because they are compromised
    keys.py revoke                      revokes the key that signs access tokens; clients continue with their refresh tokens
    keys.py revoke key_0199c2a8-...     revokes one of the keys that GET /v1/.well-known/jwks.json lists

A new server key is accepted at once, and used for new values after 65 minutes, when every function has read it. Values made with older keys
than the previous one are rejected. A key is therefore rotated at most every 180 days, the longest lifetime of any such value.
"""

import json
import secrets
import string
import uuid
from datetime import datetime, timedelta, timezone

from arguments import Parser
import deployment
from deployment import CommandError

KEYS = ("users-key", "mail-token-key", "catalog-key", "pricing-key", "orders-key", "payments-key", "notifications-key")
LENGTH = 64
# The lifetime of device tokens.
LONGEST_VALID = timedelta(days=180)


def run(shop, args):
    return rotate(shop, args) if args.command == "rotate" else revoke(shop, args)


def rotate(shop, args):
    client, name = shop.client("secretsmanager"), f"{shop.name}/{args.key}"
    try:
        present = json.loads(client.get_secret_value(SecretId=name)["SecretString"])
    except client.exceptions.ResourceNotFoundException:
        raise CommandError(f"There is no secret {name}: is the stack deployed here?") from None
    now = datetime.now(timezone.utc)
    new = next_key(present, now, new_text(), args.revoke, args.force)
    client.put_secret_value(SecretId=name, SecretString=json.dumps(new), ClientRequestToken=str(uuid.uuid4()))
    if args.revoke:
        print(f"{name} is revoked. Functions use the new key within 5 minutes; values made with other keys are rejected.")
    else:
        print(f"{name} is rotated. The previous key is accepted until the next rotation.")
    return 0


def next_key(present, now, text, revoke=False, force=False):
    """Returns the secret after a rotation."""
    rotated_at = present.get("rotated_at")
    if rotated_at and not (revoke or force):
        due = datetime.fromisoformat(rotated_at.replace("Z", "+00:00")) + LONGEST_VALID
        if now < due:
            raise CommandError(f"The key was rotated at {rotated_at}. A rotation before {due:%Y-%m-%d} invalidates sessions, device tokens,"
                          " links and cursors made with the previous key. Use --force to rotate anyway.")
    at = now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03}Z"
    return {"current": text, "previous": "" if revoke else present["current"], "rotated_at": at}


def new_text():
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(LENGTH))


def revoke(shop, args):
    client, function = shop.client("lambda"), shop.function("rotate-signing-key")
    try:
        answer = client.invoke(FunctionName=function, Qualifier=deployment.ALIAS, Payload=json.dumps({"revoke": args.key}).encode())
    except client.exceptions.ResourceNotFoundException:
        raise CommandError(f"There is no function {function}: is this version deployed here?") from None
    result = json.loads(answer["Payload"].read() or b"null") or {}
    if answer.get("FunctionError"):
        raise CommandError(f"{function} failed: {result.get('errorType', '')} {result.get('errorMessage', result)}")
    print(f"{result['revoked']} is revoked, {result['current']} signs. Access tokens of the revoked key are rejected within 60 seconds.")
    return 0


if __name__ == "__main__":
    parser = Parser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    rotating = commands.add_parser("rotate", help="create a new server key")
    rotating.add_argument("key", choices=KEYS)
    rotating.add_argument("--revoke", action="store_true", help="reject the previous key: all users log in again")
    rotating.add_argument("--force", action="store_true", help="rotate even if the last rotation is less than 180 days ago")
    deployment.options(rotating)
    revoking = commands.add_parser("revoke", help="revoke a key that signs access tokens")
    revoking.add_argument("key", nargs="?", default="current", help="the kid (default: the key that signs)")
    deployment.options(revoking)
    raise SystemExit(deployment.main(parser, run))

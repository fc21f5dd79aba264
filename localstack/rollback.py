#!/usr/bin/env python3
"""Deploys the release before the current one again, from its packaged templates, without a build.

    rollback.py           the last but one recorded deployment; a second rollback goes to the one before
    rollback.py --check   says whether that is possible, and changes nothing

Traffic goes to the earlier versions at once, after their check: alarms that the bad release has set off do not stop it. The parameters are
those of the earlier deployment. It refuses if the earlier release does not know a state that may be stored.
"""

import json
from pathlib import Path
from urllib.parse import urlparse

from arguments import Parser
import account
import answers as config
import deploy
import deployment
import releases
import stack as local

CommandError, say = local.CommandError, local.say
NAMED_STATES = 5


def target_of(dynamodb, stack):
    """Returns the current deployment and the one to deploy again."""
    current = releases.current(dynamodb, stack)
    if not current:
        raise CommandError(f"No deployment of {stack} is recorded: run make deploy.")
    if "previous" not in current:
        raise CommandError(f"No deployment before {named(current)} is recorded, so there is nothing to return to.")
    target = releases.find(dynamodb, stack, current["previous"])
    if not target or "templates" not in target:
        raise CommandError("The packaged templates of the deployment before are not recorded: deploy its commit with make deploy.")
    unknown = releases.unknown_states(current, target)
    if unknown:
        more = f" and {len(unknown) - NAMED_STATES} more" if len(unknown) > NAMED_STATES else ""
        raise CommandError(f"{named(target)} does not know states that may be stored: {', '.join(unknown[:NAMED_STATES])}{more}."
                           " Deploy a release that reads them: correct the current one and run make deploy.")
    return current, target


def named(release):
    return f"{release['version']} ({release['commit'][:12]}) of {release['deployed_at']}"


def fetch(s3, address, place):
    """Downloads the packaged template of a deployment. Returns its path and the parameters of the deployment."""
    where = urlparse(address)
    bodies = {name: s3.get_object(Bucket=where.netloc, Key=f"{where.path.strip('/')}/{name}")["Body"].read() for name in deploy.KEPT}
    place.mkdir(parents=True, exist_ok=True)
    for name, body in bodies.items():
        (place / name).write_bytes(body)
    return place / deploy.KEPT[0], json.loads(bodies[deploy.KEPT[1]])


def rollback(clients, args):
    answers = config.read(args.config)
    if not answers:
        raise CommandError(f"{args.config} does not exist, so the deployment is unknown.")
    client = clients(answers.region)
    account.check_credentials(client)
    current, target = target_of(client("dynamodb"), answers.stack)
    say(f"the current deployment is {named(current)}; the one before is {named(target)}")
    if args.check:
        print(f"make rollback deploys {named(target)}.")
        return
    stacks = deploy.Stacks(client, answers)
    stacks.make_deployable()
    template, parameters = fetch(client("s3"), target["templates"], local.ROOT / "target/rollback" / answers.stack)
    deploy.sam_deploy(answers, parameters | {"Canary": "AllAtOnce"}, template, stacks)
    stacks.protect(True)
    releases.record_rollback(client("dynamodb"), answers.stack, releases.now(), current, target)
    deploy.check_health(client, answers.stack)
    print(f"{named(target)} is deployed again. The next make deploy takes its parameters from {args.config}.")


def main():
    parser = Parser(description=__doc__)
    parser.add_argument("--config", type=Path, default=config.CONFIG, help="the file of the settings (default: samconfig.toml)")
    parser.add_argument("--check", action="store_true", help="only say whether a rollback is possible")
    return deployment.main(parser, rollback, lambda _args: deployment.clients)


if __name__ == "__main__":
    raise SystemExit(main())

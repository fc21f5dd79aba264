#!/usr/bin/env python3
"""Sends the dead letters of a queue back to the queue, after their cause is fixed.

    redrive.py                  lists the queues with their number of dead letters
    redrive.py QUEUE            sends each dead letter of QUEUE to QUEUE again, then deletes it
    redrive.py QUEUE --dry-run  shows what that would do, and changes nothing
    redrive.py publish-stock    invokes publish-stock-events with the changes that could not be published

A dead letter was sent by its consumer, with the reason why it can never be processed, or moved by SQS after the last delivery. In the
second case the reason is looked up in the consumer's log.

The command may be repeated or stopped at any time. A dead letter is deleted only after it was sent, consumers ignore messages that they
have processed, and a message that fails again becomes a new dead letter. If Lambda has exhausted its retries for a range of a stream, the
dead letter only names the range. The command then prints the steps to recover and keeps the dead letter; --forget deletes it.
"""

import json
import time
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from arguments import Parser
import deployment
from deployment import CommandError

DEAD = "-dead-letter"
HIDDEN_SECONDS = 300  # visibility timeout of received dead letters
EXPLAINED = 25  # number of dead letters whose reason is looked up in the logs
REJECTION_ATTRIBUTES = ("reason", "consumer")  # added by the consumer that rejected a message

# The effect of a lost range of a stream, and the steps to recover from it.
RECOVERY_STEPS = {
    "publish-order": "not needed: resume-orders re-sends the pending commands of unsettled orders within an hour. Mails of these changes"
                     " are not sent.",
    "publish-payment": "not needed for orders: resume-orders re-sends the commands, and payments answers again. Run make reconcile: it lists orders with"
                       " missing ledger entries.",
    "publish-stock": "not needed for orders: resume-orders re-sends the commands, and inventory answers again. Run make reconcile: it lists orders and"
                     " products with missing ledger entries.",
    "publish-pricing": "invoke resync-pricing: it compiles and publishes every market.",
    "publish-product": "invoke resync-products: it publishes the current version of every product.",
    "publish-user": "mails of these changes are not sent: users request new links. Find the accounts in the users table that were changed"
                    " or deleted at that time, and update them again.",
}


def redrive(shop, args):
    sqs = shop.client("sqs")
    known = dead_letter_queues(sqs, shop.name)
    if not known:
        raise CommandError(f"The stack {shop.name} has no dead-letter queues: is it deployed here?")
    if not args.queue:
        return overview(sqs, known)
    queue = args.queue.removeprefix(f"{shop.name}-").removesuffix(DEAD)
    queue = queue.removesuffix("-events") if queue.startswith("publish-") else queue
    if queue not in known:
        raise CommandError(f"There is no queue {args.queue} with a dead-letter queue: QUEUE is one of {', '.join(sorted(known))}.")
    run = Run(shop, sqs, queue, known[queue], args)
    try:
        run.all()
    finally:
        run.make_visible()
    return run.print_report()


def dead_letter_queues(sqs, name):
    pages = sqs.get_paginator("list_queues").paginate(QueueNamePrefix=f"{name}-", PaginationConfig={"PageSize": 1000})
    urls = [url for page in pages for url in page.get("QueueUrls", [])]
    return {url.rsplit("/", 1)[1].removeprefix(f"{name}-").removesuffix(DEAD): url for url in urls if url.endswith(DEAD)}


def overview(sqs, known):
    rows = []
    for queue, url in sorted(known.items()):
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        counted = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        rows.append((queue, counted[names[0]], counted[names[1]]))
    deployment.table(("queue", "dead letters", "in flight"), rows)


class Run:
    def __init__(self, shop, sqs, queue, dead_url, args):
        self.shop, self.sqs, self.queue, self.dead_url, self.args = shop, sqs, queue, dead_url, args
        self.publisher = f"{queue}-events" if queue.startswith("publish-") else None
        self.began = now_there(sqs, dead_url)
        self.sent = set()  # bodies of the dead letters that were sent
        self.hidden = {}  # received dead letters: id -> receipt handle
        self.rows, self.pointers, self.moved, self.failed = [], [], 0, []
        self.why = Reasons(shop, queue) if not self.publisher else None
        if self.publisher:
            self.target = shop.function(self.publisher)
        else:
            self.target = dead_url.removesuffix(DEAD)

    def all(self):
        """Receives messages until none is left that existed when this run began. Long polling queries all servers of SQS."""
        seen, empty = set(), 0
        while empty < 2:
            answer = self.sqs.receive_message(
                QueueUrl=self.dead_url, MaxNumberOfMessages=10, WaitTimeSeconds=1, VisibilityTimeout=HIDDEN_SECONDS,
                AttributeNames=["All"], MessageAttributeNames=["All"])
            letters = answer.get("Messages", [])
            for letter in letters:
                self.hidden[letter["MessageId"]] = letter["ReceiptHandle"]
            fresh = [letter for letter in letters if letter["MessageId"] not in seen and self.was_there(letter)]
            empty = 0 if fresh else empty + 1
            for letter in fresh:
                seen.add(letter["MessageId"])
                self.one(letter)

    def was_there(self, letter):
        """Whether a dead letter existed when this run began. The clock resolves seconds, so a message rejected again within one second is recognised
        by its body."""
        is_in_doubt = sent_at(letter) > self.began - 1
        return sent_at(letter) <= self.began and not (is_in_doubt and letter["Body"] in self.sent)

    def one(self, letter):
        content = parsed(letter["Body"])
        kind = self.kind(content)
        reason = self.reason(letter, content)
        done = "would be sent" if self.args.dry_run else "sent"
        if kind == "pointer":
            self.pointers.append(content)
            done = "stays" if not self.args.forget else "would be forgotten" if self.args.dry_run else "forgotten"
            if self.args.forget and not self.args.dry_run:
                self.delete(letter)
        elif not self.args.dry_run:
            error = self.invoke(content) if kind == "change" else self.send(letter)
            if error:
                self.failed.append(error)
                done = "stays"
            else:
                self.delete(letter)
                self.sent.add(letter["Body"])
                self.moved += 1
        self.rows.append((*describe(kind, content, letter), first_received(letter), reason, done))

    def kind(self, content):
        if not self.publisher:
            return "message"
        return "pointer" if isinstance(content, dict) and "DDBStreamBatchInfo" in content else "change"

    def reason(self, letter, content):
        if self.why:
            return self.why.of(letter, content)
        if isinstance(content, dict) and "DDBStreamBatchInfo" in content:
            return (content.get("requestContext") or {}).get("condition", "Lambda exhausted its retries")
        return "the change could not be converted into messages"

    def send(self, letter):
        """Sends a message as its publisher did. Returns the error, if any."""
        attributes = {name: {key: value for key, value in attribute.items() if key in ("DataType", "StringValue", "BinaryValue")}
                      for name, attribute in (letter.get("MessageAttributes") or {}).items() if name not in REJECTION_ATTRIBUTES}
        return attempt(lambda: self.sqs.send_message(QueueUrl=self.target, MessageBody=letter["Body"], MessageAttributes=attributes),
                       denied=f"Only the publisher and the operator may send to {self.queue}: use the role that OperatorRoleArn names.")

    def invoke(self, record):
        """Invokes the publisher with a change again. A change that still cannot be published becomes a new dead letter."""
        def publish():
            event = json.dumps({"Records": [record]}).encode()
            answer = self.shop.client("lambda").invoke(FunctionName=self.target, Qualifier=deployment.ALIAS, Payload=event)
            if answer.get("FunctionError"):
                raise CommandError(f"{self.publisher} failed: {answer['Payload'].read().decode()[:200]}")

        return attempt(publish, denied=f"You may not invoke {self.publisher}.")

    def delete(self, letter):
        self.sqs.delete_message(QueueUrl=self.dead_url, ReceiptHandle=letter["ReceiptHandle"])
        self.hidden.pop(letter["MessageId"], None)

    def make_visible(self):
        """Makes messages that were not deleted visible at once instead of after the visibility timeout."""
        receipts = list(self.hidden.values())
        for start in range(0, len(receipts), 10):
            entries = [{"Id": str(number), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
                       for number, receipt in enumerate(receipts[start:start + 10])]
            self.sqs.change_message_visibility_batch(QueueUrl=self.dead_url, Entries=entries)

    def print_report(self):
        if not self.rows:
            print(f"{self.queue} has no dead letters.")
            return 0
        deployment.table(("type", "id", "subject", "first received", "reason", "action"), self.rows)
        where = self.publisher or self.queue
        print()
        if self.args.dry_run:
            print(f"Dry run: {len(self.rows) - len(self.pointers)} would go to {where}; nothing has changed.")
        else:
            print(f"{self.moved} of {len(self.rows)} went to {where}.")
        for content in self.pointers if not self.args.forget or self.args.dry_run else []:
            info = content["DDBStreamBatchInfo"]
            print(f"\nLambda exhausted its retries for {info.get('batchSize', 'some')} changes between {info.get('approximateArrivalOfFirstRecord', '?')} and"
                  f" {info.get('approximateArrivalOfLastRecord', '?')} (shard {info.get('shardId', '?')}, from"
                  f" {info.get('startSequenceNumber', '?')} to {info.get('endSequenceNumber', '?')}).")
            print(f"Recovery: {RECOVERY_STEPS.get(self.queue, 'find out which messages these changes should have published')}")
            if not self.args.forget:
                print(f"Then run: make redrive QUEUE={self.queue} ARGS=--forget")
        if self.failed:
            raise CommandError(f"{len(self.failed)} could not be sent and stay in the dead-letter queue: {self.failed[-1]}")
        return 0


class Reasons:
    """Finds why a message failed: the reason that its consumer attached, or the last error in the consumer's log."""

    def __init__(self, shop, queue):
        self.shop, self.queue, self.asked, self.groups = shop, queue, 0, None

    def of(self, letter, content):
        stated = (letter.get("MessageAttributes") or {}).get("reason", {}).get("StringValue")
        if stated:
            return stated[:100]
        if not isinstance(content, dict) or "data" not in content:
            return "not a message envelope"
        self.asked += 1
        return self.logged(letter) or "not known" if self.asked <= EXPLAINED else "not looked up"

    def logged(self, letter):
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            if self.groups is None:
                self.groups = [self.log_group(name) for name in self.consumers()]
            lines = []
            for group in self.groups:
                found = self.shop.client("logs").filter_log_events(
                    logGroupName=group, filterPattern=f'"{letter["MessageId"]}"', startTime=int(sent_at(letter) * 1000), limit=100)
                lines += [(event["timestamp"], parsed(event["message"])) for event in found["events"] if letter["MessageId"] in event["message"]]
            errors = [line["error"] for _, line in sorted(lines, key=lambda each: each[0]) if isinstance(line, dict) and line.get("error")]
            return errors[-1][:100] if errors else None
        except (BotoCoreError, ClientError):
            return None

    def consumers(self):
        arn = self.shop.client("sqs").get_queue_attributes(
            QueueUrl=self.url(), AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        mappings = self.shop.client("lambda").list_event_source_mappings(EventSourceArn=arn)["EventSourceMappings"]
        return [mapping["FunctionArn"].split(":function:")[1].split(":")[0] for mapping in mappings]

    def log_group(self, function):
        return self.shop.client("lambda").get_function_configuration(FunctionName=function)["LoggingConfig"]["LogGroup"]

    def url(self):
        return self.shop.client("sqs").get_queue_url(QueueName=f"{self.shop.name}-{self.queue}")["QueueUrl"]


def attempt(call, denied):
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        call()
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        return denied if "AccessDenied" in code else " ".join(str(error).split())
    except (BotoCoreError, CommandError) as error:
        return " ".join(str(error).split())
    return None


def parsed(text):
    try:
        return json.loads(text)
    except ValueError:
        return None


def describe(kind, content, letter):
    """The type, id and subject of a dead letter, as far as it is readable."""
    content = content if isinstance(content, dict) else {}
    if kind == "pointer":
        return "stream", "-", "-"
    if kind == "change":
        keys = (content.get("dynamodb") or {}).get("Keys") or {}
        about = " ".join(str(next(iter(value.values()), "")) for value in keys.values() if isinstance(value, dict))
        return f"{content.get('eventName', '?')} of an item".lower(), content.get("eventID", "-"), about or "-"
    data = content.get("data") if isinstance(content.get("data"), dict) else {}
    about = data.get("order_id") or content.get("subject") or "-"
    return content.get("type", "?"), content.get("id", letter["MessageId"]), about


def now_there(sqs, url):
    """The current time of the queue's service, which may differ from this machine's clock; its resolution is one second."""
    date = sqs.get_queue_attributes(QueueUrl=url)["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(date).timestamp() + 1 if date else time.time()


def sent_at(letter):
    return int(letter.get("Attributes", {}).get("SentTimestamp", 0)) / 1000


def first_received(letter):
    attributes = letter.get("Attributes", {})
    moment = attributes.get("ApproximateFirstReceiveTimestamp") or attributes.get("SentTimestamp")
    return datetime.fromtimestamp(int(moment) / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M:%S") if moment else "-"


if __name__ == "__main__":
    parser = Parser(description=__doc__)
    parser.add_argument("queue", nargs="?", help="the queue whose dead letters are sent (default: list all queues)")
    parser.add_argument("--dry-run", action="store_true", help="show what would be sent, and change nothing")
    parser.add_argument("--forget", action="store_true", help="delete dead letters that only name a lost range of a stream")
    deployment.options(parser)
    raise SystemExit(deployment.main(parser, redrive))

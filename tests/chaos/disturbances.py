"""What happens to the stack while orders run: functions are killed, the emulator is halted, messages are deleted or become dead letters.

The plan follows from the seed alone. What a step hits depends on the moment: a function has no process, or a queue no message.
"""

import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import stack as local

# The functions that process an order, each with its weight in the random choice of the next kill.
FUNCTIONS = {
    "create-order": 3, "cancel-order": 1, "create-payment": 2, "authorize-request": 1, "publish-order-events": 3, "publish-stock-events": 3,
    "publish-payment-events": 3, "reserve-stock": 3, "commit-stock": 2, "release-stock": 2, "open-payment": 1, "charge-payment": 4,
    "cancel-payment": 2, "refund-payment": 2, "advance-order": 4, "send-notification": 2, "record-entry": 2, "resume-orders": 1,
    "reconcile-payments": 1,
}
# The commands between services and their answers. resume-orders sends them again. No sweep sends a mail or a ledger entry again, so their
# messages are not deleted, but they may become dead letters.
QUEUES = ("reserve-stock", "commit-stock", "release-stock", "open-payment", "charge-payment", "cancel-payment", "refund-payment", "order-events")
REDRIVEN_QUEUES = (*QUEUES, "send-notification", "record-entry")
GAP_SECONDS = (0.3, 2.0)  # between two steps
HALT_SECONDS = (1.0, 7.0)  # longer than a call of the SDK takes at most
STOP_SECONDS = 2.0  # for which a consumer is stopped, so that its queue fills
BUSY_SECONDS = 1.0  # for which a kill waits until the function works


@dataclass(frozen=True)
class Step:
    at: float  # seconds since the start
    kind: str  # kill, halt, delete or bury
    target: str = ""
    seconds: float = 0.0


def plan(seed, seconds):
    """Returns the steps of a run, in their order."""
    rng, steps, at = random.Random(f"disturbances {seed}"), [], 0.0
    while (at := at + rng.uniform(*GAP_SECONDS)) < seconds:
        kind = rng.choices(("kill", "halt", "delete", "bury"), (16, 1, 3, 2))[0]
        target = {"kill": lambda: rng.choices(list(FUNCTIONS), FUNCTIONS.values())[0], "halt": str, "delete": lambda: rng.choice(QUEUES),
                  "bury": lambda: rng.choice(REDRIVEN_QUEUES)}[kind]()
        duration = round(rng.uniform(*HALT_SECONDS), 1) if kind == "halt" else 0.0
        steps.append(Step(round(at, 2), kind, target, duration))
        at += duration if kind == "halt" else STOP_SECONDS if kind in ("delete", "bury") else 0.0
    return steps


class Disturber:
    """Carries out the steps of a plan, and counts what they hit."""

    def __init__(self, stack):
        self.stack, self.counts = stack, Counter()
        self.lambdas, self.sqs = stack.client("lambda"), stack.client("sqs")

    def run(self, steps):
        started = time.monotonic()
        for step in steps:
            time.sleep(max(0.0, started + step.at - time.monotonic()))
            getattr(self, step.kind)(step)

    def kill(self, step):
        """Kills all processes of a function, at the moment when one of them works."""
        processes = self.processes(step.target)
        before, deadline = {pid: running_time(pid) for pid in processes}, time.monotonic() + BUSY_SECONDS
        is_busy = False
        while processes and not is_busy and time.monotonic() < deadline:
            is_busy = any(running_time(pid) != before[pid] for pid in processes)
            time.sleep(0.001)
        for pid in processes:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            self.counts["processes killed"] += 1
            self.counts["processes killed while their function worked"] += is_busy

    def processes(self, function):
        """Returns the processes of a function. They are children of the emulator."""
        name, found = f"AWS_LAMBDA_FUNCTION_NAME={local.STACK}-{function}".encode(), []
        for pid in children(self.stack.state["pid"]):
            try:
                if name in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    found.append(pid)
            except OSError:  # it has ended
                continue
        return found

    def halt(self, step):
        """Halts the emulator, that is all of AWS. The functions go on, and their calls time out."""
        os.kill(self.stack.state["pid"], signal.SIGSTOP)
        try:
            time.sleep(step.seconds)
        finally:
            os.kill(self.stack.state["pid"], signal.SIGCONT)
        self.counts["halts of the emulator"] += 1
        self.counts["seconds of halts"] += step.seconds

    def delete(self, step):
        """Stops the consumer of a queue, and deletes the messages that arrive meanwhile."""
        self.stop_consumer(step.target, lambda message: None, "messages deleted")

    def bury(self, step):
        """Stops the consumer of a queue, and moves the messages that arrive meanwhile to the dead-letter queue, as SQS does with a message
        that was received too often."""
        dead = self.sqs.get_queue_url(QueueName=f"{local.STACK}-{step.target}-dead-letter")["QueueUrl"]

        def move(message):
            self.sqs.send_message(QueueUrl=dead, MessageBody=message["Body"], MessageAttributes=message.get("MessageAttributes") or {})

        self.stop_consumer(step.target, move, "messages moved to dead letters")

    def stop_consumer(self, queue, take, count):
        """Stops the consumer of a queue for a while. Takes the messages that arrive meanwhile, and deletes them."""
        url = self.sqs.get_queue_url(QueueName=f"{local.STACK}-{queue}")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        mapping = self.lambdas.list_event_source_mappings(EventSourceArn=arn)["EventSourceMappings"][0]["UUID"]
        self.lambdas.update_event_source_mapping(UUID=mapping, Enabled=False)
        try:
            time.sleep(STOP_SECONDS)
            while received := self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]).get("Messages"):
                for message in received:
                    take(message)
                    self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                    self.counts[count] += 1
        finally:
            self.lambdas.update_event_source_mapping(UUID=mapping, Enabled=True)
        self.counts["stops of a consumer"] += 1


def children(pid):
    """Returns the child processes of a process."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:  # it has ended
            continue
        if parent == pid:
            found.append(int(status.parent.name))
    return found


def running_time(pid):
    """The time for which a process ran on a CPU, in nanoseconds; None if it has ended."""
    try:
        return [int((task / "schedstat").read_text().split()[0]) for task in sorted(Path(f"/proc/{pid}/task").iterdir())]
    except OSError:
        return None

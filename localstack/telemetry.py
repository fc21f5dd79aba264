"""Reads what the functions report: access lines and metric lines in their logs, and the lengths of their queues.

An access line has a `type` (`request`, `message`, `stream`, `invocation`) and `duration_ms`. A metric line is in CloudWatch's embedded
metric format (EMF). Source: "Embedded metric format specification", Amazon CloudWatch User Guide.
"""

import contextlib
import json
import math
import re
from collections import Counter, namedtuple
from concurrent.futures import ThreadPoolExecutor

from logs import operations

OVERLAP_MS = 10_000  # an entry may be stored this long after its timestamp
MOST_EVENTS = 10_000  # of one answer; the emulator returns no token for the rest
DEAD = "-dead-letter"

Measurement = namedtuple("Measurement", "name unit labels values")
Queue = namedtuple("Queue", "waiting in_flight")


class LogReader:
    """Returns each log line once. A poll reads only what was stored since the previous one."""

    def __init__(self, client, shop, since=0):
        self.client, self.since = client, since
        # Listing the groups would make the emulator add up the size of every stored entry.
        self.groups = [f"/aws/lambda/{shop}-{service}" for service in sorted(set(operations().values()))]
        self.newest = {}  # by log group: the timestamp of the newest entry
        self.recent = {}  # by log group: how often each entry of the overlap was returned

    def poll(self):
        """Yields the time in milliseconds and the fields of each new line."""
        for group in self.groups:
            with contextlib.suppress(self.client.exceptions.ResourceNotFoundException):  # the service has no log yet
                yield from self.fresh(group)

    def fresh(self, group):
        seen, counted = self.recent.get(group, {}), Counter()
        newest = self.newest.get(group, self.since)
        lines = []
        for event in self.events(group, max(self.since, newest - OVERLAP_MS)):
            # The emulator gives entries no id, and one invocation can write two equal lines: equal entries are counted.
            key = event["timestamp"], hash(event["message"])
            counted[key] += 1
            newest = max(newest, event["timestamp"])
            if counted[key] > seen.get(key, 0):
                lines.append((event["timestamp"], event["message"]))
        self.newest[group] = newest
        self.recent[group] = {key: number for key, number in counted.items() if key[0] >= newest - OVERLAP_MS}
        for milliseconds, text in lines:
            fields = parsed(text)
            if fields:
                yield milliseconds, fields

    def events(self, group, start):
        """Yields the entries of a log group from `start` on, in time order."""
        while True:
            pages = self.client.get_paginator("filter_log_events").paginate(
                logGroupName=group, startTime=start, PaginationConfig={"PageSize": MOST_EVENTS})
            found = [event for page in pages for event in page["events"]]
            if len(found) < MOST_EVENTS:
                yield from found
                return
            # The last millisecond may be incomplete: it is read again, unless it fills the answer.
            first, last = found[0]["timestamp"], found[-1]["timestamp"]
            yield from (event for event in found if event["timestamp"] < last or first == last)
            start = last if first < last else last + 1


def parsed(text):
    """Returns the fields of a JSON line, or None for any other line."""
    if not text.startswith("{"):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def is_access(fields):
    return isinstance(fields.get("type"), str) and is_number(fields.get("duration_ms")) and bool(fields.get("operation"))


def measurements(fields):
    """Returns the metrics of an EMF line. The dimension `stack` is omitted, because a reader reads one stack."""
    found = []
    for directive in listed(entry(fields, "_aws"), "CloudWatchMetrics"):
        # Each set of dimensions is a separate metric of CloudWatch with the same values: the most detailed set counts.
        names = max((names for names in listed(directive, "Dimensions") if isinstance(names, list)), key=len, default=[])
        labels = {name: str(fields[name]) for name in map(str, names) if name != "stack" and fields.get(name) is not None}
        for metric in listed(directive, "Metrics"):
            name, unit = str(entry(metric, "Name")), entry(metric, "Unit")
            value = fields.get(name)
            values = [each for each in (value if isinstance(value, list) else [value]) if is_number(each)]
            if values:
                found.append(Measurement(name, str(unit or "None"), labels, values))
    return found


def entry(value, name):
    return value.get(name) if isinstance(value, dict) else None


def listed(value, name):
    found = entry(value, name)
    return found if isinstance(found, list) else []


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def queues(sqs, shop):
    """Returns the messages of each queue and dead-letter queue, by name without the prefix of the shop."""
    pages = sqs.get_paginator("list_queues").paginate(QueueNamePrefix=f"{shop}-", PaginationConfig={"PageSize": 1000})
    urls = [url for page in pages for url in page.get("QueueUrls", [])]

    def read(url):
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        counted = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return Queue(*(int(counted[name]) for name in names))

    with ThreadPoolExecutor(8) as pool:
        return dict(sorted(zip((name_of(url, shop) for url in urls), pool.map(read, urls))))


def name_of(url, shop):
    return url.rsplit("/", 1)[1].removeprefix(f"{shop}-")


def snake(name):
    """Converts a metric's name: `OrdersPlaced` into `orders_placed`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    words = re.sub(r"[^a-zA-Z0-9]+", "_", words).strip("_").lower()
    return words if re.match(r"[a-z]", words) else f"metric_{words}"

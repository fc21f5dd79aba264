#!/usr/bin/env python3
"""Lists the mails of the local stack, or prints one and writes its HTML to target/mails.

    mails.py           all mails, newest first
    mails.py 3         mail number 3: its text, and the path of its HTML
    mails.py --last    the newest mail

The emulator keeps the mails until it stops. A stack on AWS sends its mails and keeps no copy.
"""

import json
import sys
import time
import urllib.request

from arguments import Parser
import deployment
import stack as local
from deployment import CommandError

FOLDER = local.ROOT / "target/mails"


class Mail:
    """One mail. Mails are numbered from the oldest, so a number never changes."""

    def __init__(self, number, kept):
        self.number, self.at = number, kept["Timestamp"]
        self.sender, self.recipients, self.subject = kept["Source"], ", ".join(kept["To"]), kept["Subject"]
        self.text, self.html = kept["BodyText"] or "", kept["BodyHtml"] or ""
        self.trace = (kept.get("Headers") or {}).get("X-Trace-Id", "")

    @property
    def row(self):
        return self.number, time.strftime("%H:%M:%S", time.localtime(self.at)), self.recipients, self.subject


def kept_by(stack):
    """Returns the mails that the emulator keeps, oldest first."""
    with urllib.request.urlopen(f"{stack.endpoint}/_ministack/ses/messages", timeout=10) as response:
        kept = [mail for account in json.load(response)["messages"].values() for mail in account]
    return [Mail(number, mail) for number, mail in enumerate(sorted(kept, key=lambda mail: mail["Timestamp"]), 1)]


def chosen(mails, args):
    """Returns the requested mail, or None for the list."""
    if not mails:
        raise CommandError("No mails yet: the local stack has sent none. make demo sends some.")
    if args.last:
        return mails[-1]
    if args.number is None:
        return None
    try:
        number = int(args.number)
    except ValueError:
        raise CommandError(f"N must be the number of a mail: {args.number!r} is not a number.") from None
    if not 1 <= number <= len(mails):
        raise CommandError(f"There is no mail {number}: the numbers are 1 to {len(mails)}.")
    return mails[number - 1]


def show(mail, folder):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{mail.number}.html"
    path.write_text(mail.html, encoding="utf-8")
    trace = f"Trace:   {mail.trace}\n" if mail.trace else ""
    print(f"From:    {mail.sender}\nTo:      {mail.recipients}\nSubject: {mail.subject}\n{trace}\n{mail.text.rstrip()}\n\nHTML: {path}")


def mails(stack, args):
    stack.must_run()
    found = kept_by(stack)
    mail = chosen(found, args)
    if mail:
        show(mail, FOLDER)
        return
    deployment.table(("N", "TIME", "TO", "SUBJECT"), [mail.row for mail in reversed(found)])
    print("\nmake mails N=… prints one and writes its HTML to target/mails.")


def arguments(given=None):
    parser = Parser(description=__doc__)
    parser.add_argument("number", nargs="?", help="print this mail")
    parser.add_argument("--last", action="store_true", help="print the newest mail")
    parser.add_argument("--name", default="local", help="the local stack (default: %(default)s)")
    return parser.parse_args(given)


def main(given=None):
    args = arguments(given)
    try:
        mails(local.Stack(args.name), args)
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader, such as head, has exited
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())

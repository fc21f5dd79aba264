"""Argument parser of the tools in this folder. The help is the docstring of the tool, and an invalid argument is reported in one sentence."""

import argparse
import re
from datetime import timedelta


class Parser(argparse.ArgumentParser):
    def __init__(self, **settings):
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def error(self, message):
        self.exit(2, f"error: {sentence(message)}\n")


def sentence(message):
    """Converts an error of argparse into a sentence for the user."""
    choice = re.fullmatch(r"argument (\S+): invalid choice: '(.*?)' \(choose from (.*)\)", message)
    if choice:
        name, value, choices = choice.groups()
        choices = choices.replace("'", "")
        return f"{value} is not a valid {name.lstrip('-').lower()}: write one of {choices}."
    message = re.sub(r"^argument (\S+): expected", r"\1: expected", message)
    message = re.sub(r"^argument \S+: ", "", message)
    return message if message.endswith(".") else f"{message}."


def order_id(text):
    """Parses the id of an order."""
    if not re.fullmatch(r"ord_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text):
        raise argparse.ArgumentTypeError(f"{text} is not the id of an order: it begins with ord_, and a UUID follows.")
    return text


def trace_id(text):
    """Parses the id of a trace, or its first characters as the readable log prints them."""
    if not re.fullmatch(r"[0-9a-f]{8,32}", text):
        raise argparse.ArgumentTypeError(f"{text} is not the id of a trace: it has 8 to 32 of the characters 0-9 and a-f.")
    return text


def duration(text):
    """Parses a duration."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text} is not a duration: write 30m, 12h or 2d.")
    return int(found[1]) * {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}[found[2]]

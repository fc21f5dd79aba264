"""`make latency`: the time of each hop of an order, from the log lines of the functions."""

import io
import unittest
from contextlib import redirect_stdout
from types import SimpleNamespace

import fakes  # noqa: F401
import latency

ORDER, OTHER = "ord_315b1418-2875-8e4b-bc91-23915cbfa82c", "ord_0199c2a8-0000-7000-8000-0000000000f2"


def entry(at, operation, order=ORDER, **fields):
    fields = {"timestamp": f"2026-11-29T11:00:{at}Z", "operation": operation, "subject": order} | fields
    return SimpleNamespace(text=str(fields), fields=fields)


def lines_of(order=ORDER):
    """The lines of an order that arrives at 00.000 and takes 50 ms for its request and 30 ms for each further hop."""
    request = entry("00.050", "create-order", order, path="/v1/orders", duration_ms=50)
    later = [entry(f"00.{50 + 30 * number:03}", function, order, **{name: value})
             for number, (_, function, name, value) in enumerate(latency.HOPS) if number]
    return [request, *later]


class HopTest(unittest.TestCase):
    def test_hop_lasts_from_the_line_before_to_its_own_line(self):
        times = latency.times(lines_of(), ORDER)
        self.assertEqual([after - before for before, after in zip(times, times[1:])], [50] + [30] * 8)

    def test_repeated_line_does_not_count(self):
        again = entry("09.000", "reserve-stock", message_type="reserve_stock.v1")
        self.assertEqual(latency.times([again, *lines_of()], ORDER), latency.times(lines_of(), ORDER))

    def test_order_without_one_of_its_lines_is_left_out(self):
        for missing in range(len(latency.HOPS)):
            lines = lines_of()
            del lines[missing]
            self.assertIsNone(latency.times(lines + lines_of(OTHER), ORDER))

    def test_table_has_each_hop_and_the_whole_order(self):
        output = io.StringIO()
        with redirect_stdout(output):
            latency.show([latency.times(lines_of(), ORDER)])
        rows = output.getvalue().splitlines()
        self.assertEqual(len(rows), 1 + len(latency.HOPS) + 2 + 2)
        self.assertRegex(rows[-3], r"^confirmed, since the request +290 ms +290 ms$")

    def test_percentile_is_one_of_the_values(self):
        self.assertEqual([latency.percentile([5, 1, 3], share) for share in (0, 0.5, 1)], [1, 3, 5])


if __name__ == "__main__":
    unittest.main()

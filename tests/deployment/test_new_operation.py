"""`make new`: the files that it writes, and the input that it rejects."""

import json
import re
import shutil
import tempfile
import unittest
from pathlib import Path

import fakes  # noqa: F401
import templates
from new_operation import ROOT, Operation
from stack import CommandError

NAME, ROUTE = "orders/hold-order", "POST /orders/{order_id}/hold"


class NewOperation(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        for part in ("functions", "events"):
            shutil.copytree(ROOT / part, self.root / part)

    def written(self, name=NAME, route=ROUTE):
        operation = Operation(name, route, self.root)
        operation.check()
        return {path: (self.root / path).read_text() for path in operation.write()}

    def test_it_writes_five_files(self):
        files = self.written()
        self.assertEqual(list(files), [
            "functions/orders/src/operations/hold_order.rs", "functions/orders/src/operations/mod.rs",
            "functions/orders/src/bin/hold-order.rs", "functions/orders/template.yaml", "events/hold-order.json"])
        code = files["functions/orders/src/operations/hold_order.rs"]
        self.assertIn('path = "/orders/{order_id}/hold"', code)
        self.assertIn('("order_id" = shared::ids::OrderId, Path', code)  # as the other operations describe it
        function = templates.read(self.root / "functions/orders/template.yaml")["Resources"]["HoldOrderFunction"]
        self.assertEqual(function["Properties"], {"FunctionName": "${Shop}-hold-order", "CodeUri": "../../target/lambda/hold-order/"})
        event = json.loads(files["events/hold-order.json"])
        self.assertEqual(event["path"], "/orders/ord_0199c2a8-0000-7000-8000-0000000000f1/hold")
        self.assertEqual(event["pathParameters"], {"order_id": "ord_0199c2a8-0000-7000-8000-0000000000f1"})

    def test_lines_are_in_alphabetical_order(self):
        text = self.written()["functions/orders/src/operations/mod.rs"]
        for pattern in (r"(?m)^pub mod (\w+);", r"(?m)^    http (\w+)\("):
            found = re.findall(pattern, text)
            self.assertIn("hold_order", found)
            self.assertEqual(found, sorted(found))

    def test_a_service_without_routes_gets_its_first(self):
        text = self.written("ledger/list-entries", "GET /entries")["functions/ledger/src/operations/mod.rs"]
        self.assertIn('    Ledger:\n    http list_entries(GET "/entries", Token);\n', text)
        self.assertIn("# --- generated: begin", (self.root / "functions/ledger/template.yaml").read_text())

    def test_invalid_input_is_rejected_before_anything_is_written(self):
        before = {path: path.read_text() for path in self.root.rglob("*") if path.is_file()}
        for name, route, said in [
            ("hold-order", ROUTE, "write the service and a verb"), ("orders/hold", ROUTE, "write the service and a verb"),
            ("carts/hold-order", ROUTE, "There is no service carts: write one of catalog,"), (NAME, "", "is not a route"),
            (NAME, "FETCH /orders", "is not a route"), (NAME, "POST orders", "is not a route"),
            ("orders/create-order", ROUTE, "There is an operation create-order already"),
            (NAME, "POST /orders", "POST /orders is a route of orders already"),
        ]:
            with self.subTest((name, route)), self.assertRaisesRegex(CommandError, said):
                self.written(name, route)
        self.assertEqual(before, {path: path.read_text() for path in self.root.rglob("*") if path.is_file()})


if __name__ == "__main__":
    unittest.main()

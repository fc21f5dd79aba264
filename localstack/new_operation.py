#!/usr/bin/env python3
"""Writes the skeleton of a new HTTP operation.

    new_operation.py orders/hold-order "POST /orders/{order_id}/hold"

It adds the operation to its service, creates its binary, function and sample, and regenerates the files that derive from the operations.
The skeleton answers 503, so `make test` fails at its sample until the operation is implemented.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from arguments import Parser
from stack import CommandError

ROOT = Path(__file__).parents[1]
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SAMPLE = "events/deliver-order.json"  # a request without a body


class Operation:
    def __init__(self, name, route, root=ROOT):
        self.root = root
        found = re.fullmatch(r"([a-z]+)/([a-z]+(?:-[a-z]+)+)", name)
        if not found:
            raise CommandError(f"{name} is not an operation: write the service and a verb with a noun, such as OP=orders/hold-order.")
        self.service, self.name = found.groups()
        services = sorted(path.parent.name for path in root.glob("functions/*/Cargo.toml"))
        if self.service not in services:
            raise CommandError(f"There is no service {self.service}: write one of {', '.join(services)}.")
        found = re.fullmatch(r"([A-Z]+) (/[a-z0-9/{}_.-]*)", route)
        if not found or found[1] not in METHODS:
            raise CommandError(f'{route} is not a route: write a method and a path, such as ROUTE="POST /orders/{{order_id}}/hold".')
        self.method, self.path = found.groups()
        self.module = self.name.replace("-", "_")
        self.function = self.name.title().replace("-", "") + "Function"
        self.folder = root / "functions" / self.service
        self.state = re.search(r"shared::operations! \{\n    (\w+):", self.operations.read_text())[1]

    @property
    def operations(self):
        return self.folder / "src/operations/mod.rs"

    @property
    def parameters(self):
        return re.findall(r"\{(\w+)\}", self.path)

    def check(self):
        """Rejects an existing name or route."""
        if list(self.root.glob(f"functions/*/src/bin/{self.name}.rs")):
            raise CommandError(f"There is an operation {self.name} already.")
        for path in self.root.glob("functions/*/src/operations/mod.rs"):
            if f'{self.method} "{self.path}"' in path.read_text():
                raise CommandError(f"{self.method} {self.path} is a route of {path.parts[-4]} already.")

    def write(self):
        written = [self.code(), self.line(), self.binary(), self.block(), self.sample()]
        return [str(path.relative_to(self.root)) for path in written]

    def code(self):
        path = self.folder / f"src/operations/{self.module}.rs"
        state = self.state.lower()
        parameters = "".join(f"        {self.described(name)},\n" for name in self.parameters)
        params = f"    params(\n{parameters}    ),\n" if parameters else ""
        path.write_text(f"""//! `{self.method} {self.path}`: describe the operation in one sentence.

use std::sync::Arc;

use shared::{{
    http::{{Request, Response}},
    problem::Problem,
}};

use crate::{self.state};

/// Answers `503` until it is implemented.
#[cfg_attr(feature = "api-document", utoipa::path(
    {self.method.lower()},
    path = "{self.path}",
{params}    responses((status = 200, description = "Describe the response.")),
    security(("bearer" = [])),
    extensions(("x-roles" = json!(["user"]))),
))]
pub async fn {self.module}(_{state}: Arc<{self.state}>, request: Request) -> Result<Response, Problem> {{
    request.caller()?;

    Err(Problem::unavailable())
}}
""")
        return path

    def described(self, parameter):
        """Returns the description of a path parameter in the other operations of the service."""
        for path in sorted(self.operations.parent.glob("*.rs")):
            found = re.search(rf'\("{parameter}" = [\w:<>]+, Path, description = "[^"]+"\)', path.read_text())
            if found:
                return found[0]
        return f'("{parameter}" = String, Path, description = "Describe the parameter.")'

    def line(self):
        text = self.operations.read_text()
        text = insert(text, r"^pub mod (\w+);\n", self.module, f"pub mod {self.module};\n")
        entry = f'    http {self.module}({self.method} "{self.path}", Token);\n'
        self.operations.write_text(insert(text, r"^    http (\w+)\(.*\);\n", self.module, entry, r"^    \w+:\n"))
        return self.operations

    def binary(self):
        path = self.folder / f"src/bin/{self.name}.rs"
        path.write_text(f"""//! The function `{self.name}`; see [`{self.service}::operations::{self.module}`].

fn main() -> Result<(), lambda_http::Error> {{
    {self.service}::operations::run::{self.module}()
}}
""")
        return path

    def block(self):
        path = self.folder / "template.yaml"
        text = path.read_text()
        block = f"""  # `{self.method} {self.path}`, user.
  {self.function}:
    Type: AWS::Serverless::Function
    Metadata: {{SkipBuild: true}}
    Properties:
      FunctionName: !Sub ${{Shop}}-{self.name}
      CodeUri: ../../target/lambda/{self.name}/

"""
        mark = "  # --- generated: begin (make template)\n"
        if mark not in text:
            text = f"{text.rstrip()}\n\n{mark}  # --- generated: end\n"
        path.write_text(text.replace(mark, block + mark))
        return path

    def sample(self):
        event = json.loads((self.root / SAMPLE).read_text())
        known = {}
        for path in sorted(self.root.glob("events/*.json")):
            known |= json.loads(path.read_text()).get("pathParameters") or {}
        values = {name: known.get(name, "1") for name in self.parameters}
        path = re.sub(r"\{(\w+)\}", lambda match: values[match[1]], self.path)
        event |= {"resource": self.path, "path": path, "httpMethod": self.method, "pathParameters": values or None}
        event["requestContext"] |= {"httpMethod": self.method, "path": f"/v1{path}", "resourcePath": self.path}
        event["requestContext"]["authorizer"]["role"] = "user"
        target = self.root / f"events/{self.name}.json"
        target.write_text(json.dumps(event, indent=2, ensure_ascii=False) + "\n")
        return target


def insert(text, pattern, key, line, first=None):
    """Inserts a line in alphabetical order among the matching lines, or after `first` without a match."""
    matches = list(re.finditer(pattern, text, re.MULTILINE))
    later = [match.start() for match in matches if match[1] > key]
    place = later[0] if later else matches[-1].end() if matches else re.search(first, text, re.MULTILINE).end()
    return text[:place] + line + text[place:]


def main():
    parser = Parser(description=__doc__)
    parser.add_argument("operation", help="service and name, such as orders/hold-order")
    parser.add_argument("route", help='method and path, such as "POST /orders/{order_id}/hold"')
    args = parser.parse_args()
    try:
        operation = Operation(args.operation, args.route)
        operation.check()
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    written = operation.write()
    print("Regenerating the files that derive from the operations; this builds the tests.", file=sys.stderr)
    result = subprocess.run(["make", "template"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode != 0:
        print(f"error: make template failed:\n{result.stdout}", file=sys.stderr)
        return 1
    written += ["template.yaml", "functions/platform/template.yaml", "functions/platform/openapi.json", "functions/README.md",
                "localstack/grafana/operations.json"]
    print("\n".join(written))
    print(f"Now implement functions/{operation.service}/src/operations/{operation.module}.rs, grant its function the required policies, and run"
          " make template again.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

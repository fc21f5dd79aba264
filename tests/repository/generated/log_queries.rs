//! The saved queries of Logs Insights. Each searches the log groups of all services.

use std::fmt::Write;

use crate::{pascal, services};

struct Query {
    logical_id: &'static str,
    /// Operators find the query by its name, in the folder of the stack's name.
    name: &'static str,
    lines: &'static [&'static str],
}

/// The fields of the log lines of one order or one trace.
const FIELDS: &str = "fields @timestamp, operation, type, message_type, message, status, state, reception, next_check_at, trace_id";

/// `make trace` combines the first two.
const QUERIES: [Query; 4] = [
    Query {
        logical_id: "ByOrderQuery",
        name: "by order",
        lines: &[
            "# Write the id of the order.",
            FIELDS,
            "| filter @message like \"ord_00000000-0000-0000-0000-000000000000\"",
            "| sort @timestamp asc",
            "| limit 1000",
        ],
    },
    Query {
        logical_id: "ByTraceQuery",
        name: "by trace",
        lines: &[
            "# Write the id of the trace: 32 hexadecimal digits.",
            FIELDS,
            "| filter trace_id = \"00000000000000000000000000000000\"",
            "| sort @timestamp asc",
            "| limit 1000",
        ],
    },
    Query {
        logical_id: "SlowRequestsQuery",
        name: "slow requests",
        lines: &[
            "fields @timestamp, operation, method, path, status, duration_ms, gateway_request_id, xray_trace_id, trace_id",
            "| filter type = \"request\" and duration_ms > 1000",
            "| sort duration_ms desc",
            "| limit 100",
        ],
    },
    Query {
        logical_id: "ErrorsQuery",
        name: "errors",
        lines: &[
            "fields @timestamp, service, operation, message, cause, error, request_id, trace_id",
            "| filter level = \"ERROR\" or @message like \"Task timed out\" or @message like \"Runtime.ExitError\"",
            "| sort @timestamp desc",
            "| limit 200",
        ],
    },
];

/// The resources of the saved queries. They depend on the services, which create the log groups.
pub fn log_queries() -> String {
    let services = services();
    let stacks: Vec<String> = services.iter().map(|service| pascal(service)).collect();
    let mut text = String::from(
        "\n  # Saved queries of Logs Insights, in the folder of the stack's name. The services own the log groups.\n",
    );
    for Query { logical_id, name, lines } in &QUERIES {
        writeln!(text, "  {logical_id}:").unwrap();
        writeln!(text, "    Type: AWS::Logs::QueryDefinition").unwrap();
        writeln!(text, "    Condition: OnAws").unwrap();
        writeln!(text, "    DependsOn: [{}]", stacks.join(", ")).unwrap();
        writeln!(text, "    Properties:").unwrap();
        writeln!(text, "      Name: !Sub ${{AWS::StackName}}/{name}").unwrap();
        writeln!(text, "      LogGroupNames:").unwrap();
        for service in &services {
            writeln!(text, "        - !Sub /aws/lambda/${{AWS::StackName}}-{service}").unwrap();
        }
        writeln!(text, "      QueryString: |-").unwrap();
        for line in *lines {
            writeln!(text, "        {line}").unwrap();
        }
        text.push('\n');
    }
    text
}

//! Alarms on the shop's metrics: each fires with its fault, and not in the same run without it.
//!
//! [`scenarios`] injects the fault into a whole shop and lets the functions write their metrics.
//! [`evaluation`] evaluates the alarm on these lines as its template declares it.
//!
//! `cargo test -p tests --test stores alarms -- --nocapture` prints for each alarm the metric line
//! that fires it. Alarms on AWS's metrics are compared with their resources in
//! `tests/repository/alarms.rs`.

mod evaluation;
mod run;
mod scenarios;

use std::{collections::BTreeMap, sync::OnceLock};

use serde_json::Value;
use shared::metrics::Capture;
use tests::template::{self, Template};

use self::{evaluation::Alarm, run::Run};

/// The scenario of each alarm, as one test per alarm.
macro_rules! alarms {
    ($($alarm:ident: $scenario:ident,)+) => {
        const ALARMS: &[&str] = &[$(stringify!($alarm)),+];

        #[allow(non_snake_case, reason = "a test has the name of its alarm")]
        mod fires_with_its_fault {
            use super::{assert_fires, scenarios};

            $(
                #[tokio::test]
                async fn $alarm() {
                    assert_fires(stringify!($alarm), scenarios::$scenario).await;
                }
            )+
        }
    };
}

alarms! {
    CatalogServerErrorsAlarm: tables_do_not_answer,
    InventoryServerErrorsAlarm: tables_do_not_answer,
    LedgerServerErrorsAlarm: tables_do_not_answer,
    NotificationsServerErrorsAlarm: tables_do_not_answer,
    OrdersServerErrorsAlarm: tables_do_not_answer,
    PaymentsServerErrorsAlarm: tables_do_not_answer,
    PlatformServerErrorsAlarm: tables_do_not_answer,
    PricingServerErrorsAlarm: tables_do_not_answer,
    UsersServerErrorsAlarm: tables_do_not_answer,
    CatalogReleaseAlarm: tables_do_not_answer,
    InventoryReleaseAlarm: tables_do_not_answer,
    NotificationsReleaseAlarm: tables_do_not_answer,
    OrdersReleaseAlarm: tables_do_not_answer,
    PaymentsReleaseAlarm: tables_do_not_answer,
    PlatformReleaseAlarm: tables_do_not_answer,
    PricingReleaseAlarm: tables_do_not_answer,
    UsersReleaseAlarm: tables_do_not_answer,

    InventoryMessageDelayedAlarm: old_message_fails,
    LedgerMessageDelayedAlarm: old_message_fails,
    NotificationsMessageDelayedAlarm: old_message_fails,
    OrdersMessageDelayedAlarm: old_message_fails,
    PaymentsMessageDelayedAlarm: old_message_fails,
    PricingMessageDelayedAlarm: old_message_fails,

    CatalogSweepFailedAlarm: due_record_is_unreadable,
    InventorySweepFailedAlarm: due_record_is_unreadable,
    OrdersSweepFailedAlarm: due_record_is_unreadable,
    PaymentsSweepFailedAlarm: due_record_is_unreadable,
    PricingSweepFailedAlarm: due_record_is_unreadable,

    OrdersRetriesExhaustedAlarm: consumers_of_inventory_stop,
    OrdersOldestUnsettledAlarm: consumers_of_inventory_stop,
    InventoryHeldTooLongAlarm: consumers_of_inventory_stop,

    PaymentsRetriesExhaustedAlarm: charge_has_no_outcome,
    PaymentsCircuitBreakerOpenedAlarm: five_charges_time_out,
    PaymentsProviderRequestRejectedAlarm: provider_rejects_the_key,
    PaymentsDuplicateCaptureAlarm: abandoned_charge_captures,
    PaymentsDisputedAlarm: buyer_disputes_the_charge,
    PaymentsNeedReviewAlarm: completed_refund_fails,
    OrdersNeedReviewAlarm: completed_refund_fails,
    OrdersWithoutMarketAlarm: storefront_names_no_market,

    LedgerUnbalancedAlarm: ledger_entry_is_lost,
    LedgerMismatchAlarm: ledger_entry_is_contradicted,
    LedgerAuditIncompleteAlarm: provider_statement_does_not_answer,

    NotificationsMailRejectedAlarm: ses_rejects_mails,
    NotificationsMailBouncedAlarm: mails_bounce,
    NotificationsMailComplainedAlarm: recipients_complain,

    UsersRefreshTokenReusedAlarm: refresh_token_is_used_twice,
}

/// Runs a scenario without and with its fault, and evaluates the alarm on the lines of each run.
async fn assert_fires(id: &str, scenario: impl AsyncFn(Run)) {
    let alarm = Alarm::of(id);
    for has_fault in [false, true] {
        let run = Run::start(alarm.service(), has_fault).await;
        let capture = Capture::with_clock(run.shop.clock.clone());
        scenario(run).await;
        let lines = deployed(capture.lines());
        let breach = alarm.breach(&lines);
        assert_eq!(
            breach.is_some(),
            has_fault,
            "{id} with the fault: {has_fault}\n{breach:?}\n{lines:#?}"
        );
        if let Some(breach) = breach {
            eprintln!("{id}: {breach}");
        }
    }
}

/// The lines as deployed functions write them: with the stack's name, which the template of each
/// service puts into the environment of its functions.
fn deployed(mut lines: Vec<Value>) -> Vec<Value> {
    static STACKS: OnceLock<BTreeMap<String, Value>> = OnceLock::new();
    let stacks = STACKS.get_or_init(|| {
        let stack = |file: String| {
            let own = Template::read(&file);
            let variables = &own.document["Globals"]["Function"]["Environment"]["Variables"];
            let service = file.split('/').nth(1).unwrap().to_owned();
            (service, template::template().resolve(&variables["STACK"]))
        };
        template::files().into_iter().map(stack).collect()
    });
    for line in &mut lines {
        line["stack"] = stacks[line["service"].as_str().unwrap()].clone();
    }
    lines
}

/// An alarm without a scenario is an alarm that was never seen to fire.
#[test]
fn every_alarm_on_a_metric_of_the_shop_has_a_scenario() {
    let alarms = template::template().resources("AWS::CloudWatch::Alarm");
    let mut expected: Vec<&str> = alarms
        .filter(|(_, alarm)| evaluation::watches_the_shop(&alarm["Properties"]))
        .map(|(id, _)| id)
        .collect();
    let mut listed = ALARMS.to_vec();
    expected.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, expected, "the scenarios are left, the alarms of the templates right");
}

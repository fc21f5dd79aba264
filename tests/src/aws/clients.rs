//! SDK clients that are built once, for runs of thousands of schedules.

use std::sync::{Arc, atomic::Ordering};

use aws_config::SdkConfig;

use super::Aws;

/// One client of each service. They do not sign: a signature is a tenth of a call's work.
pub(super) struct Clients {
    dynamodb: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
    secrets: aws_sdk_secretsmanager::Client,
    ses: aws_sdk_sesv2::Client,
}

impl Clients {
    fn new(config: &SdkConfig) -> Self {
        use aws_sdk_dynamodb::config::Builder as DynamoDb;
        use aws_sdk_secretsmanager::config::Builder as Secrets;
        use aws_sdk_sesv2::config::Builder as Ses;
        use aws_sdk_sqs::config::Builder as Sqs;
        Self {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(
                DynamoDb::from(config).allow_no_auth().build(),
            ),
            sqs: aws_sdk_sqs::Client::from_conf(Sqs::from(config).allow_no_auth().build()),
            secrets: aws_sdk_secretsmanager::Client::from_conf(
                Secrets::from(config).allow_no_auth().build(),
            ),
            ses: aws_sdk_sesv2::Client::from_conf(Ses::from(config).allow_no_auth().build()),
        }
    }
}

impl Aws {
    /// The same AWS for many short runs: its clients are built once and do not sign, and calls are
    /// counted, but not recorded.
    #[must_use]
    pub fn lean(&self) -> Self {
        self.0.is_recording.store(false, Ordering::SeqCst);
        let config = self.unsigned_sdk_config();
        Self(self.0.clone(), None, Some(Arc::new(Clients::new(&config))))
    }

    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        match (&self.2, &self.1) {
            (Some(clients), _) => clients.dynamodb.clone(),
            (None, Some(config)) => aws_sdk_dynamodb::Client::new(config),
            (None, None) => aws_sdk_dynamodb::Client::new(&self.sdk_config()),
        }
    }

    pub fn sqs_client(&self) -> aws_sdk_sqs::Client {
        match &self.2 {
            Some(clients) => clients.sqs.clone(),
            None => aws_sdk_sqs::Client::new(&self.sdk_config()),
        }
    }

    /// A client of Secrets Manager.
    pub fn secrets_client(&self) -> aws_sdk_secretsmanager::Client {
        match &self.2 {
            Some(clients) => clients.secrets.clone(),
            None => aws_sdk_secretsmanager::Client::new(&self.sdk_config()),
        }
    }

    pub fn mail_client(&self) -> aws_sdk_sesv2::Client {
        match &self.2 {
            Some(clients) => clients.ses.clone(),
            None => aws_sdk_sesv2::Client::new(&self.sdk_config()),
        }
    }
}

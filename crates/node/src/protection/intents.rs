//! The list of transactions under way, in the same database as what was said.

use std::sync::Arc;

use async_trait::async_trait;
use gavel_settlement::account::{IntentLog, IntentRecord, LogError};
use gavel_state::{Change, StateError, Store, Table};

/// The list of one key, in its database.
#[derive(Debug)]
pub struct StoredIntents(Arc<dyn Store>);

impl StoredIntents {
    /// In this database.
    pub fn new(store: Arc<dyn Store>) -> StoredIntents {
        StoredIntents(store)
    }
}

/// Keys sort as the nonces do.
fn key(nonce: u64) -> String {
    format!("{nonce:020}")
}

fn failed(error: StateError) -> LogError {
    match error {
        StateError::Taken { .. } | StateError::NotWriter { .. } => {
            LogError::Taken(error.to_string())
        }
        other => LogError::Store(other.to_string()),
    }
}

#[async_trait]
impl IntentLog for StoredIntents {
    async fn open(&self) -> Result<Vec<IntentRecord>, LogError> {
        let rows = self.0.scan(Table::Intents).await.map_err(failed)?;
        let parse = |(key, text): &(String, String)| {
            serde_json::from_str(text)
                .map_err(|e| LogError::Store(format!("the transaction of nonce {key}: {e}")))
        };
        rows.iter().map(parse).collect()
    }

    async fn put(&self, record: &IntentRecord) -> Result<(), LogError> {
        let text = serde_json::to_string(record).map_err(|e| LogError::Store(e.to_string()))?;
        let change = Change::Put(Table::Intents, key(record.nonce), text);
        self.0.write(&[change]).await.map_err(failed)
    }

    async fn finish(&self, nonce: u64) -> Result<(), LogError> {
        let change = Change::Delete(Table::Intents, key(nonce));
        self.0.write(&[change]).await.map_err(failed)
    }
}

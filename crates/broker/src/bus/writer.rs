//! Writing without transactions.

use super::append::Appender;
use crate::state::BrokerState;
use crate::txn::Producer;
use async_trait::async_trait;
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::{BusError, ProduceRecord, Writer};
use std::sync::Arc;

/// An idempotent writer.
pub(super) struct EmbeddedWriter {
    appender: Appender,
}

impl EmbeddedWriter {
    pub(super) fn new(state: Arc<BrokerState>, producer: Producer) -> Self {
        Self {
            appender: Appender::new(state, producer, false),
        }
    }
}

#[async_trait]
impl Writer for EmbeddedWriter {
    async fn send(
        &mut self,
        partition: &TopicPartition,
        records: Vec<ProduceRecord>,
    ) -> Result<Offset, BusError> {
        self.appender.check(partition, &records)?;
        let placed = self.appender.append(partition, &records)?;
        let placed = placed.ok_or_else(|| BusError::Invalid("no records to send".into()))?;
        placed
            .log
            .wait_high_watermark(placed.end_offset)
            .await
            .map_err(|failure| BusError::Fatal(failure.to_string()))?;
        Ok(placed.first_offset)
    }
}

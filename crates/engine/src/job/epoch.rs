//! What an epoch writes, and the one transaction that makes it visible.

use super::JobError;
use super::names::JobNames;
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::{ProduceRecord, TransactionWriter};
use std::collections::BTreeMap;

/// Records of one epoch, collected until its barrier: the transaction is
/// open only while it commits, so it hardly holds back readers.
#[derive(Debug, Default)]
pub(super) struct EpochOutput {
    records: BTreeMap<TopicPartition, Vec<ProduceRecord>>,
    /// About the bytes in `records`.
    pub(super) bytes: usize,
    /// Records of the sink among them.
    pub(super) sink_records: u64,
}

impl EpochOutput {
    pub(super) fn push(&mut self, partition: TopicPartition, record: ProduceRecord) {
        self.bytes += record.key.as_ref().map_or(0, |k| k.len());
        self.bytes += record.value.as_ref().map_or(0, |v| v.len());
        self.records.entry(partition).or_default().push(record);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// Everything that an epoch commits.
pub(super) struct Epoch {
    pub(super) output: EpochOutput,
    /// State and control records, in order.
    pub(super) changelog: Vec<ProduceRecord>,
    /// Next offsets to read, for the world's lag monitors.
    pub(super) offsets: Vec<(TopicPartition, Offset)>,
}

/// Commits an epoch or nothing of it. After an error the transaction has
/// been aborted, or will be by the next instance's fencing.
pub(super) async fn commit(
    writer: &mut dyn TransactionWriter,
    names: &JobNames,
    epoch: Epoch,
) -> Result<(), JobError> {
    writer.begin().await?;
    let committed = write(writer, names, epoch).await;
    if let Err(error) = committed {
        if let Err(abort) = writer.abort().await {
            tracing::debug!(%abort, "the failed epoch's transaction is left to its successor");
        }
        return Err(error);
    }
    Ok(())
}

async fn write(
    writer: &mut dyn TransactionWriter,
    names: &JobNames,
    epoch: Epoch,
) -> Result<(), JobError> {
    for (partition, records) in epoch.output.records {
        writer.send(&partition, records).await?;
    }
    writer
        .send(&names.changelog_partition(), epoch.changelog)
        .await?;
    writer.send_offsets(&names.group, &epoch.offsets).await?;
    writer.commit().await?;
    Ok(())
}

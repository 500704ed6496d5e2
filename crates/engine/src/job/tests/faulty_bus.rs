//! A bus that fails, and kills, where a test says so.

use async_trait::async_trait;
use millstream_core::env::Rand;
use millstream_core::ids::{Offset, TopicPartition};
use millstream_core::ports::{
    Bus, BusError, BusReader, FetchedRecords, Isolation, OffsetAt, ProduceRecord, TopicInfo,
    TopicSpec, TransactionWriter, Writer,
};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Decides what becomes of each call.
pub(super) struct Faults {
    rand: Arc<dyn Rand>,
    /// Of 1,000 calls, how many fail.
    per_mille: u64,
    /// Calls until the process dies; negative is never.
    calls_left: AtomicI64,
    /// The process has died.
    pub(super) died: Notify,
}

impl Faults {
    pub(super) fn new(rand: Arc<dyn Rand>, per_mille: u64, calls_left: i64) -> Arc<Self> {
        Arc::new(Self {
            rand,
            per_mille,
            calls_left: calls_left.into(),
            died: Notify::new(),
        })
    }

    /// Runs a call, or not, and lets it succeed, fail, or never return.
    async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, BusError>>,
    ) -> Result<T, BusError> {
        let last = self.calls_left.fetch_sub(1, Ordering::SeqCst) == 1;
        let fails = self.rand.next_u64() % 1_000 < self.per_mille;
        // A call whose answer is lost may have been carried out.
        let carried_out = self.rand.next_u64().is_multiple_of(2);
        if !last && !fails {
            return call.await;
        }
        if carried_out {
            // What it answers is what gets lost.
            let _ = call.await;
        }
        if last {
            self.died.notify_one();
            std::future::pending::<()>().await;
        }
        Err(BusError::Retriable("injected".into()))
    }
}

pub(super) struct FaultyBus {
    pub(super) inner: Arc<dyn Bus>,
    pub(super) faults: Arc<Faults>,
}

#[async_trait]
impl Bus for FaultyBus {
    async fn topics(&self) -> Result<Vec<TopicInfo>, BusError> {
        self.faults.call(self.inner.topics()).await
    }

    async fn topic(&self, name: &str) -> Result<TopicInfo, BusError> {
        self.faults.call(self.inner.topic(name)).await
    }

    async fn create_topic(&self, spec: TopicSpec) -> Result<TopicInfo, BusError> {
        self.faults.call(self.inner.create_topic(spec)).await
    }

    async fn delete_topic(&self, name: &str) -> Result<(), BusError> {
        self.faults.call(self.inner.delete_topic(name)).await
    }

    async fn delete_records(&self, before: &[(TopicPartition, Offset)]) -> Result<(), BusError> {
        self.faults.call(self.inner.delete_records(before)).await
    }

    async fn offsets(
        &self,
        partitions: &[TopicPartition],
        at: OffsetAt,
    ) -> Result<Vec<Offset>, BusError> {
        self.faults.call(self.inner.offsets(partitions, at)).await
    }

    async fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<Offset>>, BusError> {
        self.faults
            .call(self.inner.committed(group, partitions))
            .await
    }

    async fn reader(
        &self,
        start: &[(TopicPartition, Offset)],
        isolation: Isolation,
    ) -> Result<Box<dyn BusReader>, BusError> {
        let inner = self
            .faults
            .call(self.inner.reader(start, isolation))
            .await?;
        Ok(Box::new(FaultyReader {
            inner,
            faults: Arc::clone(&self.faults),
        }))
    }

    async fn writer(&self) -> Result<Box<dyn Writer>, BusError> {
        self.inner.writer().await
    }

    async fn transaction_writer(
        &self,
        transactional_id: &str,
        timeout: Duration,
    ) -> Result<Box<dyn TransactionWriter>, BusError> {
        let inner = self
            .faults
            .call(self.inner.transaction_writer(transactional_id, timeout))
            .await?;
        Ok(Box::new(FaultyTransactionWriter {
            inner,
            faults: Arc::clone(&self.faults),
        }))
    }
}

struct FaultyReader {
    inner: Box<dyn BusReader>,
    faults: Arc<Faults>,
}

#[async_trait]
impl BusReader for FaultyReader {
    async fn poll(
        &mut self,
        wait_max: Duration,
        bytes_max: usize,
    ) -> Result<Vec<FetchedRecords>, BusError> {
        self.faults.call(self.inner.poll(wait_max, bytes_max)).await
    }

    async fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<(), BusError> {
        self.faults.call(self.inner.seek(partition, offset)).await
    }
}

struct FaultyTransactionWriter {
    inner: Box<dyn TransactionWriter>,
    faults: Arc<Faults>,
}

#[async_trait]
impl TransactionWriter for FaultyTransactionWriter {
    async fn begin(&mut self) -> Result<(), BusError> {
        self.faults.call(self.inner.begin()).await
    }

    async fn send(
        &mut self,
        partition: &TopicPartition,
        records: Vec<ProduceRecord>,
    ) -> Result<(), BusError> {
        self.faults.call(self.inner.send(partition, records)).await
    }

    async fn send_offsets(
        &mut self,
        group: &str,
        offsets: &[(TopicPartition, Offset)],
    ) -> Result<(), BusError> {
        self.faults
            .call(self.inner.send_offsets(group, offsets))
            .await
    }

    async fn commit(&mut self) -> Result<(), BusError> {
        self.faults.call(self.inner.commit()).await
    }

    async fn abort(&mut self) -> Result<(), BusError> {
        self.faults.call(self.inner.abort()).await
    }
}

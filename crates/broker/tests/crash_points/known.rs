//! What was promised, and whether it holds.

use crate::client::Asking;
use crate::support::PATIENCE;
use crate::support::kafka::{committed_records, fetch_request, only};
use crate::work::{self, GROUP, OFFSETS_OF_TRANSACTIONS, PARTITIONS, TOPIC, Version};
use millstream_wire::ErrorCode;
use millstream_wire::messages::heartbeat::HeartbeatRequest;
use millstream_wire::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What a failure begins with that is none of the test's own.
pub(crate) const BROKEN: &str = "broken promise:";

/// How a transaction must have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Committed,
    /// Also one whose end was never asked for.
    Aborted,
    /// It was to be committed, and no answer came.
    Unknown,
}

/// A producer instance and the sequences of its partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
    pub(crate) sequences: [i32; PARTITIONS as usize],
}

/// What the next life must still know.
#[derive(Default)]
pub(crate) struct Known {
    /// How many promises there were.
    pub(crate) promises: usize,
    /// Numbers values and offsets.
    pub(crate) last: i64,
    pub(crate) topic: bool,
    /// Records outside of transactions, by partition and offset.
    pub(crate) plain: BTreeMap<(i32, i64), String>,
    pub(crate) transactions: BTreeMap<i64, Fate>,
    /// Of each transactional id, once it was asked for.
    pub(crate) producers: BTreeMap<Version, Option<Producer>>,
    /// The offset that was committed outside of transactions, and the largest
    /// that was tried.
    pub(crate) offset: (i64, i64),
    /// Member id and generation of the classic group's static member.
    pub(crate) classic: Option<(String, i32)>,
    /// Member epoch of the consumer group's member.
    pub(crate) consumer: Option<i32>,
}

impl Known {
    /// Compares; what is seen is promised from then on. `None` when there
    /// is trouble.
    pub(crate) async fn holds(&mut self, asking: &mut Asking) -> Option<()> {
        if !self.topic {
            return Some(());
        }
        // Fences, and ends what the life before left open.
        for version in self.producers.keys().copied().collect::<Vec<_>>() {
            work::init_producer(self, asking, version).await?;
        }
        self.records_hold(asking).await?;
        self.offsets_hold(asking).await?;
        self.members_hold(asking).await
    }

    async fn records_hold(&mut self, asking: &mut Asking) -> Option<()> {
        let mut transactions: BTreeMap<i64, usize> = BTreeMap::new();
        let mut plain = BTreeMap::new();
        for partition in 0..PARTITIONS {
            for (offset, value) in read_committed(asking, partition).await? {
                match value.strip_prefix("in transaction ") {
                    Some(n) => *transactions.entry(n.parse().unwrap()).or_default() += 1,
                    None => {
                        let twice = plain.values().any(|found| *found == value);
                        assert!(!twice, "{BROKEN} {}: {value} twice", asking.at);
                        plain.insert((partition, offset), value);
                    }
                }
            }
        }
        for (place, value) in &self.plain {
            let found = plain.get(place);
            assert_eq!(found, Some(value), "{BROKEN} {}: at {place:?}", asking.at);
        }
        self.plain = plain;
        for (n, fate) in &mut self.transactions {
            let seen = transactions.remove(n).unwrap_or(0);
            let is_whole = seen == PARTITIONS as usize;
            let right = match fate {
                Fate::Committed => is_whole,
                Fate::Aborted => seen == 0,
                Fate::Unknown => is_whole || seen == 0,
            };
            assert!(
                right,
                "{BROKEN} {}: {seen} records of {n}, {fate:?}",
                asking.at
            );
            *fate = if is_whole {
                Fate::Committed
            } else {
                Fate::Aborted
            };
        }
        assert!(
            transactions.is_empty(),
            "{BROKEN} {}: {transactions:?}",
            asking.at
        );
        Some(())
    }

    async fn offsets_hold(&mut self, asking: &mut Asking) -> Option<()> {
        let committed = committed_offset(asking, GROUP).await?;
        let (promised, tried) = self.offset;
        assert!(
            (promised..=tried).contains(&committed.max(0)),
            "{BROKEN} {}: offset {committed}, {promised} was committed and {tried} tried",
            asking.at
        );
        self.offset = (committed.max(0), committed.max(0));
        let mut newest = self.transactions.iter().rev();
        let newest = newest.find(|(_, fate)| **fate == Fate::Committed);
        let expected = newest.map_or(-1, |(n, _)| *n);
        let committed = committed_offset(asking, OFFSETS_OF_TRANSACTIONS).await?;
        assert_eq!(
            committed, expected,
            "{BROKEN} {}: of the last transaction",
            asking.at
        );
        Some(())
    }

    async fn members_hold(&mut self, asking: &mut Asking) -> Option<()> {
        if let Some((member_id, generation_id)) = self.classic.clone() {
            let heartbeat = HeartbeatRequest {
                group_id: work::CLASSIC_GROUP.into(),
                generation_id,
                member_id,
                group_instance_id: Some(work::INSTANCE.into()),
            };
            asking.ask(&heartbeat, 4, |r| r.error_code).await?;
        }
        if let Some(epoch) = self.consumer {
            let heartbeat = work::consumer_heartbeat(epoch);
            let answer = asking.ask(&heartbeat, 0, |r| r.error_code).await?;
            assert!(answer.member_epoch >= epoch, "{}", asking.at);
            self.consumer = Some(answer.member_epoch);
        }
        Some(())
    }
}

/// Offsets and values of all that is committed, once no transaction is open.
async fn read_committed(asking: &mut Asking, partition: i32) -> Option<Vec<(i64, String)>> {
    let (mut found, mut next, began) = (Vec::new(), 0, Instant::now());
    loop {
        let mut request = fetch_request(TOPIC, partition, next);
        request.isolation_level = 1;
        let error_of = |r: &millstream_wire::messages::fetch::FetchResponse| {
            let of_partition = r.responses.first().map(|t| t.partitions[0].error_code);
            of_partition.unwrap_or(r.error_code)
        };
        let answer = asking.ask(&request, 11, error_of).await?;
        let data = only(answer.responses);
        let (stable, end) = (data.last_stable_offset, data.high_watermark);
        let (records, read_to) = committed_records(data);
        found.extend(records);
        next = read_to.unwrap_or(next);
        if next == end && stable == end {
            return Some(found);
        }
        if asking.is_troubled() {
            return None;
        }
        let patient = began.elapsed() < PATIENCE;
        assert!(
            patient,
            "{BROKEN} {}: {next} of {stable} of {end}",
            asking.at
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn committed_offset(asking: &mut Asking, group: &str) -> Option<i64> {
    let topic = OffsetFetchRequestTopics {
        name: TOPIC.into(),
        partition_indexes: vec![0],
        ..Default::default()
    };
    let group = OffsetFetchRequestGroup {
        group_id: group.into(),
        topics: Some(vec![topic]),
        ..Default::default()
    };
    let request = OffsetFetchRequest {
        groups: vec![group],
        require_stable: true,
        ..Default::default()
    };
    let error_of = |r: &millstream_wire::messages::offset_fetch::OffsetFetchResponse| {
        let group = &r.groups[0];
        let of_partition = group
            .topics
            .first()
            .map_or(0, |t| t.partitions[0].error_code);
        if group.error_code == ErrorCode::None.code() {
            of_partition
        } else {
            group.error_code
        }
    };
    let answer = asking.ask(&request, 8, error_of).await?;
    let topics = &answer.groups[0].topics;
    Some(
        topics
            .first()
            .map_or(-1, |t| t.partitions[0].committed_offset),
    )
}

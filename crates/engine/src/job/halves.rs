//! Fetched records in two parts, for rows that are too large only together.

use millstream_core::ports::FetchedRecords;

/// Two or more records as two parts, each with what could not be read in its
/// range.
pub(super) fn halves(mut chunk: FetchedRecords) -> [FetchedRecords; 2] {
    let records = chunk.records.split_off(chunk.records.len() / 2);
    let mut rest = FetchedRecords {
        topic_partition: chunk.topic_partition.clone(),
        next_offset: chunk.next_offset,
        end_offset: chunk.end_offset,
        records,
        unreadable: Vec::new(),
    };
    if let Some(first) = rest.records.first().map(|record| record.offset) {
        chunk.next_offset = first;
        let unreadable = std::mem::take(&mut chunk.unreadable);
        (chunk.unreadable, rest.unreadable) = unreadable
            .into_iter()
            .partition(|range| range.first_offset < first);
    }
    [chunk, rest]
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_core::ids::{Offset, TopicPartition};
    use millstream_core::ports::{Record, UnreadableRange};

    #[test]
    fn what_cannot_be_read_goes_with_the_records_around_it() {
        let record = |offset| Record {
            offset: Offset(offset),
            timestamp_ms: 0,
            key: None,
            value: None,
            headers: Vec::new(),
        };
        let range = |first, last| UnreadableRange {
            first_offset: Offset(first),
            last_offset: Offset(last),
            reason: String::new(),
        };
        let [before, after] = halves(FetchedRecords {
            topic_partition: TopicPartition::new("t", 0),
            records: [0, 3, 6, 9].map(record).to_vec(),
            unreadable: vec![range(1, 2), range(4, 5), range(7, 8)],
            next_offset: Offset(10),
            end_offset: Offset(12),
        });
        let offsets = |part: &FetchedRecords| part.records.iter().map(|r| r.offset.0).collect();
        let (first, second): (Vec<_>, Vec<_>) = (offsets(&before), offsets(&after));
        assert_eq!((first, second), (vec![0, 3], vec![6, 9]));
        assert_eq!(before.unreadable, [range(1, 2), range(4, 5)]);
        assert_eq!(after.unreadable, [range(7, 8)]);
        assert_eq!(
            (before.next_offset, after.next_offset),
            (Offset(6), Offset(10))
        );
    }
}

//! Merges partitions by time, reading no more of each than it takes.
//!
//! Each partition is a lane, read from one end in chunks. A record's rank is
//! its timestamp, but never better than the one before it in its lane, so
//! that ranks only get worse along a lane: a record is surely among the
//! first as soon as no lane's rank so far is better than its own. What was
//! read and is not answered is read again by who goes on.
//!
//! Pure: what is read comes in through [`Chunk`].

use super::show::Message;
use std::collections::VecDeque;

/// Time as a rank: smaller comes first.
type Rank = i64;

/// One partition.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) partition: i32,
    /// First offset that may be read.
    first: i64,
    /// One past the last.
    end: i64,
    /// The next offset; one past it when going backwards.
    position: i64,
    /// What comes next has this rank or a worse one.
    rank: Rank,
    /// Offsets read at once.
    chunk: i64,
    chunk_max: i64,
    found: VecDeque<Found>,
}

#[derive(Debug)]
struct Found {
    rank: Rank,
    message: Message,
}

/// Part of a lane to be read.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) lane: usize,
    pub(super) partition: i32,
    /// First offset.
    pub(super) from: i64,
    /// One past the last.
    pub(super) to: i64,
    /// All of it has been read, or as much as is needed.
    complete: bool,
    given_up: bool,
    read_to: i64,
    /// Offsets and timestamps.
    seen: Vec<(i64, i64)>,
    found: VecDeque<Message>,
    /// Matches from here on (before here, backwards) had no room.
    edge: Option<i64>,
}

/// Lanes, the direction, and how many are wanted.
#[derive(Debug)]
pub(super) struct Merge {
    pub(super) backwards: bool,
    pub(super) lanes: Vec<Lane>,
    wanted: usize,
}

/// What an answer comes to.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) messages: Vec<Message>,
    /// Where to go on; `None` when all lanes are at their end.
    pub(super) next: Option<Vec<(i32, i64)>>,
}

/// Offsets read of all lanes at once, however many are wanted.
const CHUNK_MAX: i64 = 16_384;
/// By how much a chunk grows or shrinks.
const CHUNK_STEP: i64 = 4;

impl Merge {
    /// `lanes`: partition, first offset, end, position.
    pub(super) fn new(
        backwards: bool,
        wanted: usize,
        chunk: i64,
        lanes: impl IntoIterator<Item = (i32, i64, i64, i64)>,
    ) -> Self {
        let lanes: Vec<_> = lanes.into_iter().collect();
        let count = i64::try_from(lanes.len()).unwrap_or(i64::MAX);
        let chunk_max = (CHUNK_MAX / count.max(1)).max(1);
        let lane = |(partition, first, end, position): (i32, i64, i64, i64)| Lane {
            partition,
            first,
            end,
            // Retention may have moved the start since.
            position: position.clamp(first, end.max(first)),
            rank: Rank::MIN,
            chunk: chunk.clamp(1, chunk_max),
            chunk_max,
            found: VecDeque::new(),
        };
        Self {
            backwards,
            wanted,
            lanes: lanes.into_iter().map(lane).collect(),
        }
    }

    /// What has to be read next; nothing once the answer is decided.
    pub(super) fn chunks(&self) -> Vec<Chunk> {
        let mut ranks: Vec<Rank> = self
            .lanes
            .iter()
            .flat_map(|lane| lane.found.iter().map(|f| f.rank))
            .collect();
        ranks.sort_unstable();
        let last_wanted = ranks.get(self.wanted.saturating_sub(1)).copied();
        let undecided = |lane: &Lane| {
            !lane.is_done(self.backwards) && last_wanted.is_none_or(|rank| lane.rank < rank)
        };
        let lanes = self.lanes.iter().enumerate();
        lanes
            .filter(|(_, lane)| undecided(lane))
            .map(|(at, lane)| lane.next_chunk(at, self.backwards))
            .collect()
    }

    /// One past the last offset of a partition.
    pub(super) fn end(&self, partition: i32) -> i64 {
        let lane = self.lanes.iter().find(|lane| lane.partition == partition);
        lane.map_or(i64::MAX, |lane| lane.end)
    }

    /// Takes what was read.
    pub(super) fn take(&mut self, chunk: Chunk) {
        let backwards = self.backwards;
        // A lane that went back meanwhile for want of room does not go on
        // from here: what is in between would be left out.
        if let Some(lane) = self.lanes.get_mut(chunk.lane)
            && lane.goes_on_with(&chunk, backwards)
        {
            lane.take(chunk, backwards);
        }
        self.keep_the_first();
    }

    /// What was found beyond what is wanted costs memory for nothing: it is
    /// forgotten, and its lane goes back to before it.
    fn keep_the_first(&mut self) {
        let count: usize = self.lanes.iter().map(|lane| lane.found.len()).sum();
        for _ in self.wanted..count {
            let last = |lane: &Lane| lane.found.back().map(|f| (f.rank, lane.partition));
            let worst = self.lanes.iter_mut().max_by_key(|lane| last(lane));
            if let Some(lane) = worst {
                lane.forget_last(self.backwards);
            }
        }
    }

    /// All that was found, in order. What is behind the last of it in its
    /// lane has not been answered.
    pub(super) fn finish(self) -> Merged {
        let next: Vec<(i32, i64)> = self
            .lanes
            .iter()
            .filter(|lane| !self.backwards || !lane.is_done(true))
            .map(|lane| (lane.partition, lane.position))
            .collect();
        let more = self.lanes.iter().any(|l| !l.is_done(self.backwards));
        let mut found: Vec<Found> = self.lanes.into_iter().flat_map(|l| l.found).collect();
        let backwards = self.backwards;
        found.sort_by_key(|f| {
            let (partition, offset) = (f.message.partition, f.message.offset);
            match backwards {
                true => (f.rank, -partition, -offset),
                false => (f.rank, partition, offset),
            }
        });
        Merged {
            messages: found.into_iter().map(|f| f.message).collect(),
            next: more.then_some(next),
        }
    }
}

impl Lane {
    fn is_done(&self, backwards: bool) -> bool {
        match backwards {
            true => self.position <= self.first,
            false => self.position >= self.end,
        }
    }

    fn goes_on_with(&self, chunk: &Chunk, backwards: bool) -> bool {
        match backwards {
            true => chunk.to == self.position,
            false => chunk.from == self.position,
        }
    }

    fn next_chunk(&self, lane: usize, backwards: bool) -> Chunk {
        let (from, to) = match backwards {
            true => (
                self.position.saturating_sub(self.chunk).max(self.first),
                self.position,
            ),
            false => (
                self.position,
                self.position.saturating_add(self.chunk).min(self.end),
            ),
        };
        Chunk {
            lane,
            partition: self.partition,
            from,
            to,
            complete: false,
            given_up: false,
            read_to: from,
            seen: Vec::new(),
            found: VecDeque::new(),
            edge: None,
        }
    }

    fn take(&mut self, mut chunk: Chunk, backwards: bool) {
        self.resize(&chunk);
        // Backwards, what is at the end of the chunk comes first: a part of
        // it from the beginning is of no use.
        if backwards && !chunk.complete {
            return;
        }
        let mut seen = std::mem::take(&mut chunk.seen);
        if backwards {
            seen.reverse();
        }
        let inside = |offset: i64| match (backwards, chunk.edge) {
            (_, None) => true,
            (true, Some(edge)) => offset > edge,
            (false, Some(edge)) => offset < edge,
        };
        for (offset, timestamp_ms) in seen.into_iter().filter(|(o, _)| inside(*o)) {
            let rank = match backwards {
                true => timestamp_ms.saturating_neg(),
                false => timestamp_ms,
            };
            self.rank = self.rank.max(rank);
            let next = match backwards {
                true => chunk.found.back(),
                false => chunk.found.front(),
            };
            if next.is_some_and(|m| m.offset == offset) {
                let message = match backwards {
                    true => chunk.found.pop_back(),
                    false => chunk.found.pop_front(),
                };
                self.found.extend(message.map(|message| Found {
                    rank: self.rank,
                    message,
                }));
            }
        }
        self.position = match (backwards, chunk.edge) {
            (true, None) => chunk.from,
            (true, Some(edge)) => edge.saturating_add(1),
            (false, Some(edge)) => edge,
            (false, None) if chunk.complete => chunk.to,
            (false, None) => chunk.read_to,
        };
    }

    /// The next chunk: larger where few records were, or few that match;
    /// smaller where it was too much to read.
    fn resize(&mut self, chunk: &Chunk) {
        let offsets = chunk.to.saturating_sub(chunk.from);
        let matches = i64::try_from(chunk.found.len()).unwrap_or(i64::MAX);
        let seen = i64::try_from(chunk.seen.len()).unwrap_or(i64::MAX);
        if !chunk.complete {
            self.chunk = (offsets / (CHUNK_STEP * 2)).max(1);
        } else if seen == 0 || seen < offsets / CHUNK_STEP {
            // Mostly gaps (compaction, markers): they cost nothing.
            self.chunk = self.chunk.saturating_mul(CHUNK_STEP);
        } else if matches == 0 || matches < offsets / CHUNK_STEP {
            self.chunk = self
                .chunk
                .saturating_mul(CHUNK_STEP)
                .min(self.chunk_max.max(self.chunk));
        }
    }

    fn forget_last(&mut self, backwards: bool) {
        let Some(forgotten) = self.found.pop_back() else {
            return;
        };
        self.rank = forgotten.rank;
        self.position = match backwards {
            true => forgotten.message.offset.saturating_add(1),
            false => forgotten.message.offset,
        };
    }
}

impl Chunk {
    /// A record that was read, in offset order; `message` when it matches.
    pub(super) fn push(&mut self, offset: i64, timestamp_ms: i64, message: Option<Message>) {
        self.seen.push((offset, timestamp_ms));
        self.found.extend(message);
    }

    /// Whether a record at this offset is asked for.
    pub(super) fn wants(&self, offset: i64) -> bool {
        (self.from..self.to).contains(&offset) && !self.is_over()
    }

    /// All before `offset` has been read.
    pub(super) fn read_to(&mut self, offset: i64) {
        self.read_to = offset.clamp(self.read_to, self.to);
        self.complete |= offset >= self.to && !self.given_up;
    }

    /// Messages held.
    pub(super) fn held(&self) -> usize {
        self.found.len()
    }

    /// Leaves the rest unread: it is more than was thought.
    pub(super) fn give_up(&mut self) {
        self.given_up = true;
    }

    /// Whether there is nothing more to read for it.
    pub(super) fn is_over(&self) -> bool {
        self.complete || self.given_up
    }

    /// Gives up the match that is answered last, unless it is the only one;
    /// the bytes that this frees. Forwards nothing behind it need be read.
    pub(super) fn shed(&mut self, backwards: bool) -> usize {
        if self.found.len() <= 1 {
            return 0;
        }
        let shed = match backwards {
            true => self.found.pop_front(),
            false => {
                self.complete = true;
                self.found.pop_back()
            }
        };
        let Some(shed) = shed else { return 0 };
        self.edge = Some(shed.offset);
        shed.cost()
    }
}

#[cfg(test)]
mod tests {
    use super::super::show::{Encoding, Message};
    use super::*;

    fn message(partition: i32, offset: i64, timestamp_ms: i64) -> Message {
        Message {
            partition,
            offset,
            timestamp_ms,
            key: None,
            key_encoding: Encoding::Null,
            value: None,
            value_encoding: Encoding::Null,
            key_bytes: 0,
            value_bytes: 0,
            cut: false,
            headers: vec![],
            headers_count: 0,
            unreadable: None,
        }
    }

    /// Reads what the merge asks for of these timestamps, in parts that are
    /// too large now and then.
    fn run(
        logs: &[Vec<i64>],
        backwards: bool,
        wanted: usize,
        positions: Option<Vec<(i32, i64)>>,
        matches: impl Fn(i64) -> bool,
    ) -> Merged {
        let lanes: Vec<_> = logs
            .iter()
            .enumerate()
            .map(|(p, log)| {
                let (p, end) = (i32::try_from(p).unwrap(), i64::try_from(log.len()).unwrap());
                (p, 0, end, if backwards { end } else { 0 })
            })
            .filter_map(|(p, first, end, start)| match &positions {
                None => Some((p, first, end, start)),
                Some(at) => {
                    let at = at.iter().find(|(partition, _)| *partition == p)?;
                    Some((p, first, end, at.1))
                }
            })
            .collect();
        let mut merge = Merge::new(backwards, wanted, 2, lanes);
        let mut turns = 0;
        loop {
            let chunks = merge.chunks();
            if chunks.is_empty() {
                return merge.finish();
            }
            for mut chunk in chunks {
                turns += 1;
                assert!(turns < 10_000, "it comes to an end");
                let log = &logs[usize::try_from(chunk.partition).unwrap()];
                let too_much = turns % 7 == 0 && chunk.to - chunk.from > 1;
                let to = if too_much { chunk.to - 1 } else { chunk.to };
                for offset in chunk.from..to {
                    if !chunk.wants(offset) {
                        break;
                    }
                    let ts = log[usize::try_from(offset).unwrap()];
                    let found = matches(ts).then(|| message(chunk.partition, offset, ts));
                    chunk.push(offset, ts, found);
                    if chunk.held() > 3 {
                        chunk.shed(backwards);
                    }
                    chunk.read_to(offset + 1);
                }
                merge.take(chunk);
            }
        }
    }

    /// Page by page until the end.
    fn pages(
        logs: &[Vec<i64>],
        backwards: bool,
        wanted: usize,
        matches: impl Fn(i64) -> bool,
    ) -> Vec<i64> {
        let mut all = Vec::new();
        let mut next = None;
        loop {
            let merged = run(logs, backwards, wanted, next, &matches);
            assert!(merged.messages.len() <= wanted);
            all.extend(merged.messages.iter().map(|m| m.timestamp_ms));
            next = merged.next;
            if next.is_none() {
                return all;
            }
        }
    }

    #[test]
    fn pages_in_both_directions_are_all_records_by_time() {
        let logs: Vec<Vec<i64>> = vec![
            (0..40).map(|i| i * 3).collect(),
            (0..5).map(|i| 60 + i * 10).collect(),
            vec![],
            (100..180).collect(),
        ];
        let mut sorted: Vec<i64> = logs.iter().flatten().copied().collect();
        sorted.sort_unstable();
        for wanted in [1, 7, 1_000] {
            assert_eq!(pages(&logs, false, wanted, |_| true), sorted);
            let mut newest = pages(&logs, true, wanted, |_| true);
            newest.reverse();
            assert_eq!(newest, sorted);
        }
    }

    #[test]
    fn a_search_finds_each_match_once() {
        let logs: Vec<Vec<i64>> = vec![(0..500).collect(), (0..500).map(|i| i + 250).collect()];
        let is_match = |ts: i64| ts % 97 == 0;
        let mut sorted: Vec<i64> = logs
            .iter()
            .flatten()
            .copied()
            .filter(|t| is_match(*t))
            .collect();
        sorted.sort_unstable();
        for wanted in [1, 3, 100] {
            assert_eq!(pages(&logs, false, wanted, is_match), sorted);
        }
    }

    #[test]
    fn timestamps_out_of_order_lose_and_double_nothing() {
        let logs = vec![vec![5, 1, 9, 2, 2, 0], vec![3, 3, 100, 4], vec![7]];
        let mut sorted: Vec<i64> = logs.iter().flatten().copied().collect();
        sorted.sort_unstable();
        for backwards in [false, true] {
            for wanted in 1..12 {
                let mut all = pages(&logs, backwards, wanted, |_| true);
                all.sort_unstable();
                assert_eq!(all, sorted, "{backwards} {wanted}");
            }
        }
    }

    /// Compaction leaves offsets far apart: few reads pass over them.
    #[test]
    fn a_gap_is_passed_over_in_few_reads() {
        for backwards in [true, false] {
            let end = 1_000_000_000;
            let start = if backwards { end } else { 0 };
            let mut merge = Merge::new(backwards, 10, 1, [(0, 0, end, start)]);
            let mut reads = 0;
            while let Some(mut chunk) = merge.chunks().pop() {
                reads += 1;
                assert!(reads < 40, "of {end} offsets with one record");
                if (chunk.from..chunk.to).contains(&500) {
                    chunk.push(500, 7, Some(message(0, 500, 7)));
                }
                chunk.read_to(chunk.to);
                merge.take(chunk);
            }
            assert_eq!(merge.finish().messages.len(), 1);
        }
    }
}

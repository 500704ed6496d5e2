//! Which topics live queries read now, for the overview's stream.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Counts readers by topic.
#[derive(Debug, Default, Clone)]
pub struct LiveReads(Arc<Mutex<BTreeMap<String, usize>>>);

/// A reader; dropping it takes it off the count.
#[derive(Debug)]
pub struct LiveRead {
    topics: Vec<String>,
    reads: LiveReads,
}

impl LiveReads {
    /// Adds a reader of these topics.
    pub fn note(&self, topics: &[String]) -> LiveRead {
        let mut counts = self.0.lock();
        for topic in topics {
            *counts.entry(topic.clone()).or_default() += 1;
        }
        LiveRead {
            topics: topics.to_vec(),
            reads: self.clone(),
        }
    }

    /// Topics with readers.
    pub fn topics(&self) -> Vec<String> {
        self.0.lock().keys().cloned().collect()
    }
}

impl Drop for LiveRead {
    fn drop(&mut self) {
        let mut counts = self.reads.0.lock();
        for topic in &self.topics {
            if let Some(count) = counts.get_mut(topic) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(topic);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_read_while_anyone_reads_it() {
        let reads = LiveReads::default();
        let one = reads.note(&["a".into(), "b".into()]);
        let two = reads.note(&["a".into()]);
        drop(one);
        assert_eq!(reads.topics(), ["a"]);
        drop(two);
        assert!(reads.topics().is_empty());
    }
}

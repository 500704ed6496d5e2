//! Clients of both versions, retries, delayed requests, timeouts and crashes
//! in any order on one transactional id: what always holds.

use super::image::EPOCH_LAST;
use super::*;
use crate::txn::records;
use millstream_core::ids::{ProducerEpoch, ProducerId, TopicPartition};
use proptest::prelude::*;
use std::collections::HashSet;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(60);

/// What happens next. Numbers pick one of the instances that were given out.
#[derive(Debug, Clone, Copy)]
enum Event {
    Init,
    Bump(usize),
    Add(usize, ClientVersion),
    End(usize, TxnOutcome, ClientVersion),
    TimeOut,
    Finish,
    /// The record on its way is durable, or was lost with a crash.
    Settle(bool),
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    let version = prop_oneof![
        1 => Just(ClientVersion::V1),
        4 => Just(ClientVersion::V2)
    ];
    let outcome = prop_oneof![Just(TxnOutcome::Commit), Just(TxnOutcome::Abort)];
    // Mostly the newest instance, sometimes one from long ago.
    let who = prop_oneof![4 => 0..1usize, 1 => 0..6usize];
    prop_oneof![
        1 => Just(Event::Init),
        1 => who.clone().prop_map(Event::Bump),
        6 => (who.clone(), version.clone()).prop_map(|(who, v)| Event::Add(who, v)),
        6 => (who, outcome, version).prop_map(|(who, o, v)| Event::End(who, o, v)),
        1 => Just(Event::TimeOut),
        6 => Just(Event::Finish),
        12 => prop_oneof![9 => Just(true), 1 => Just(false)].prop_map(Event::Settle),
        1 => Just(Event::Restart),
    ]
}

struct World {
    machine: TxnMachine,
    pending: Option<Transit>,
    /// Newest first.
    given: Vec<Producer>,
    /// Producers that an answer may name only once.
    new: HashSet<Producer>,
    next_id: i64,
    now_ms: i64,
}

impl World {
    fn new(epoch: i16) -> Self {
        let mut image = TxnMachine::new(ProducerId(1), 0).image().clone();
        image.epoch = ProducerEpoch(epoch);
        Self {
            machine: TxnMachine::restore(image),
            pending: None,
            given: vec![Producer {
                id: ProducerId(1),
                epoch: ProducerEpoch(epoch),
            }],
            new: HashSet::new(),
            next_id: 2,
            now_ms: 0,
        }
    }

    fn who(&self, back: usize) -> Producer {
        self.given[back.min(self.given.len() - 1)]
    }

    fn fresh(&mut self) -> Option<ProducerId> {
        self.next_id += 1;
        Some(ProducerId(self.next_id))
    }

    fn step(&mut self, event: Event) {
        self.now_ms += 1_000;
        let before = self.machine.image().clone();
        let current = self.machine.producer();
        match event {
            Event::Init | Event::Bump(_) => self.init(event),
            Event::Add(who, client) => {
                let (who, at) = (self.who(who), [TopicPartition::new("t", 0)]);
                let added = self.machine.add_partitions(who, &at, client, self.now_ms);
                assert!(added.is_err() || who == current, "an older instance wrote");
                if let Ok(AddDecision::Write(transit)) = added {
                    self.pending = Some(transit);
                }
            }
            Event::End(who, outcome, client) => self.end(self.who(who), outcome, client),
            Event::TimeOut => {
                self.now_ms += 60_000;
                let fresh = self.fresh();
                if let Ok(EndDecision::Write(transit)) = self.machine.time_out(fresh, self.now_ms) {
                    assert!(transit.next.epoch > before.epoch, "nobody is fenced");
                    self.pending = Some(transit);
                }
            }
            Event::Finish => {
                if let Ok(transit) = self.machine.finish(self.now_ms) {
                    self.pending = Some(transit);
                }
            }
            Event::Settle(durable) => match self.pending.take() {
                Some(transit) if durable => self.complete(transit),
                Some(_) => self.machine.cancel(),
                None => {}
            },
            Event::Restart => self.restart(),
        }
        if self.pending.is_some() {
            assert_eq!(*self.machine.image(), before, "takes effect when durable");
        }
    }

    fn init(&mut self, event: Event) {
        let expected = match event {
            Event::Bump(who) => Some(self.who(who)),
            _ => None,
        };
        let fresh = self.fresh();
        let decided = self.machine.init(expected, fresh, TIMEOUT, self.now_ms);
        match decided {
            Ok(InitDecision::Write(transit) | InitDecision::AbortFirst(transit)) => {
                self.pending = Some(transit);
            }
            Ok(InitDecision::Answer(producer)) => assert_eq!(producer, self.machine.producer()),
            Ok(InitDecision::NeedsProducerId) => panic!("there is one"),
            Err(_) => {}
        }
    }

    fn end(&mut self, who: Producer, outcome: TxnOutcome, client: ClientVersion) {
        let (current, state) = (self.machine.producer(), self.machine.image().state);
        let fresh = self.fresh();
        match self.machine.end(who, outcome, client, fresh, self.now_ms) {
            Ok(EndDecision::Write(transit)) => {
                assert_eq!(who, current, "a delayed end touched a later transaction");
                if client == ClientVersion::V2 {
                    assert_eq!(transit.next.epoch.0, who.epoch.0 + 1);
                }
                self.pending = Some(transit);
            }
            Ok(EndDecision::Ended(next)) => {
                assert_eq!(next, current);
                assert_ne!(state, TxnState::Ongoing, "said to have ended");
            }
            Ok(EndDecision::NeedsProducerId) => panic!("there is one"),
            Err(_) => {}
        }
    }

    fn complete(&mut self, transit: Transit) {
        let before = self.machine.image().clone();
        let next = transit.next.clone();
        self.machine.complete(transit);
        match before.state {
            TxnState::PrepareCommit => assert_eq!(next.state, TxnState::CompleteCommit),
            TxnState::PrepareAbort => assert_eq!(next.state, TxnState::CompleteAbort),
            _ => {}
        }
        if next.producer_id == before.producer_id {
            assert!(next.epoch >= before.epoch, "an epoch went back");
        } else {
            assert_eq!(next.epoch, ProducerEpoch(0));
            assert!(before.epoch >= EPOCH_LAST, "epochs were left");
        }
        let is_decided = self.machine.decided().is_some();
        let producer = self.machine.producer();
        if !is_decided && self.given[0] != producer {
            assert!(
                producer.epoch <= EPOCH_LAST,
                "no client gets the last epoch"
            );
            assert!(self.new.insert(producer), "{producer:?} given out twice");
            self.given.insert(0, producer);
        }
    }

    /// What is durable is read back.
    fn restart(&mut self) {
        self.pending = None;
        let image = self.machine.image();
        let (key, value) = records::encode("t", Some(image)).unwrap();
        let (_, read) = records::decode(&key, value.as_ref()).unwrap();
        let read = read.unwrap();
        let expected = TxnImage {
            previous_epoch: NO_EPOCH,
            ..image.clone()
        };
        assert_eq!(read, expected);
        self.machine = TxnMachine::restore(read);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_order_of_events_breaks_an_id(
        epoch in prop_oneof![Just(0i16), Just(i16::MAX - 3)],
        events in prop::collection::vec(event(), 1..120),
    ) {
        let mut world = World::new(epoch);
        for event in events {
            world.step(event);
        }
    }
}

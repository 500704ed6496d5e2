//! How a transaction ends: by its client at either version, by its timeout,
//! or because a newer instance takes over.
//!
//! Version 2 (KIP-890) bumps the epoch with every end. Markers carry the new
//! epoch, so that from a marker on a partition refuses whatever still comes
//! of the transaction before. It also tells a retry (the epoch before the
//! bump) from the end of the next transaction (the current one):
//!
//! | state | abort, retry | abort, current | commit, retry | commit, current |
//! |---|---|---|---|---|
//! | Empty | fenced | bump | fenced | refused |
//! | CompleteAbort | answered | bump | refused | refused |
//! | CompleteCommit | refused | bump | answered | refused |
//!
//! A client may abort a transaction of which it does not know whether it ever
//! began, hence the aborts that bump without one.

use super::error::TxnError;
use super::image::{
    ClientVersion, EPOCH_LAST, NO_PRODUCER, Producer, TxnImage, TxnOutcome, TxnState,
};
use super::machine::{EndDecision, Transit, TxnMachine};
use millstream_core::ids::{ProducerEpoch, ProducerId};

impl TxnMachine {
    /// Decides how the open transaction ends. `fresh` is a new producer id,
    /// needed when this end uses up the epochs of the old one.
    pub fn end(
        &mut self,
        producer: Producer,
        outcome: TxnOutcome,
        client: ClientVersion,
        fresh: Option<ProducerId>,
        now_ms: i64,
    ) -> Result<EndDecision, TxnError> {
        match client {
            ClientVersion::V1 => self.end_v1(producer, outcome, now_ms),
            ClientVersion::V2 => self.end_v2(producer, outcome, fresh, now_ms),
        }
    }

    fn end_v1(
        &mut self,
        producer: Producer,
        outcome: TxnOutcome,
        now_ms: i64,
    ) -> Result<EndDecision, TxnError> {
        self.check_producer(producer)?;
        self.check_idle()?;
        match (self.image().state, outcome) {
            (TxnState::Ongoing, _) => {
                let mut next = self.decided_image(outcome, now_ms);
                next.client_version = ClientVersion::V1;
                Ok(EndDecision::Write(self.begin(next)))
            }
            // A transaction that added nothing ends as its owner likes.
            (TxnState::Empty, _)
            | (TxnState::CompleteCommit, TxnOutcome::Commit)
            | (TxnState::CompleteAbort, TxnOutcome::Abort) => Ok(EndDecision::Ended(producer)),
            (TxnState::PrepareCommit, TxnOutcome::Commit)
            | (TxnState::PrepareAbort, TxnOutcome::Abort) => Err(TxnError::ConcurrentTransactions),
            (TxnState::Dead, _) => Err(TxnError::InvalidProducerIdMapping),
            _ => Err(TxnError::InvalidState),
        }
    }

    fn end_v2(
        &mut self,
        producer: Producer,
        outcome: TxnOutcome,
        fresh: Option<ProducerId>,
        now_ms: i64,
    ) -> Result<EndDecision, TxnError> {
        let is_current = producer == self.producer();
        let is_replaced = self.is_end_of_replaced(producer);
        let is_retry = is_replaced || self.is_end_before_bump(producer);
        if producer.id != self.image().producer_id && !is_replaced {
            return Err(TxnError::InvalidProducerIdMapping);
        }
        let state = self.image().state;
        let is_valid = match state {
            TxnState::Empty | TxnState::Ongoing | TxnState::Dead => is_current,
            TxnState::PrepareCommit | TxnState::PrepareAbort => is_retry,
            TxnState::CompleteCommit | TxnState::CompleteAbort => is_retry || is_current,
        };
        if !is_valid {
            return Err(TxnError::Fenced);
        }
        self.check_idle()?;
        match (state, outcome) {
            (TxnState::Ongoing, _) | (TxnState::Empty, TxnOutcome::Abort) => {
                Ok(self.decide_and_bump(outcome, fresh, now_ms))
            }
            (TxnState::CompleteCommit, TxnOutcome::Commit)
            | (TxnState::CompleteAbort, TxnOutcome::Abort)
                if is_retry =>
            {
                Ok(EndDecision::Ended(self.producer()))
            }
            (TxnState::CompleteCommit | TxnState::CompleteAbort, TxnOutcome::Abort)
                if !is_retry =>
            {
                Ok(self.decide_and_bump(outcome, fresh, now_ms))
            }
            (TxnState::PrepareCommit, TxnOutcome::Commit)
            | (TxnState::PrepareAbort, TxnOutcome::Abort) => Err(TxnError::ConcurrentTransactions),
            (TxnState::Dead, _) => Err(TxnError::InvalidProducerIdMapping),
            _ => Err(TxnError::InvalidState),
        }
    }

    /// Whether this is the end that bumped the epoch to what it is.
    fn is_end_before_bump(&self, producer: Producer) -> bool {
        let image = self.image();
        producer.id == image.producer_id && producer.epoch.0.checked_add(1) == Some(image.epoch.0)
    }

    /// Whether this is the end that used up the epochs of the producer id
    /// before the current one.
    fn is_end_of_replaced(&self, producer: Producer) -> bool {
        let image = self.image();
        producer.id == image.previous_producer_id
            && producer.id != image.producer_id
            && producer.epoch == EPOCH_LAST
            && image.epoch == ProducerEpoch(0)
            && matches!(
                image.state,
                TxnState::CompleteCommit | TxnState::CompleteAbort
            )
    }

    fn decide_and_bump(
        &mut self,
        outcome: TxnOutcome,
        fresh: Option<ProducerId>,
        now_ms: i64,
    ) -> EndDecision {
        let mut next = self.decided_image(outcome, now_ms);
        if next.epoch >= EPOCH_LAST {
            let Some(fresh) = fresh else {
                return EndDecision::NeedsProducerId;
            };
            next.next_producer_id = fresh;
        }
        next.previous_epoch = next.epoch;
        // The largest epoch is a marker's alone: it is not bumped again.
        next.epoch = ProducerEpoch(next.epoch.0.saturating_add(1));
        next.client_version = ClientVersion::V2;
        if self.image().state != TxnState::Ongoing {
            next.started_ms = Some(now_ms);
        }
        EndDecision::Write(self.begin(next))
    }

    /// Whether the open transaction has used up its time.
    pub fn has_timed_out(&self, now_ms: i64) -> bool {
        let timeout_ms = i64::try_from(self.image().timeout.as_millis()).unwrap_or(i64::MAX);
        let started = self
            .image()
            .started_ms
            .filter(|_| self.image().state == TxnState::Ongoing);
        started.is_some_and(|started| started.saturating_add(timeout_ms) <= now_ms)
    }

    /// Aborts a transaction that has used up its time.
    pub fn time_out(
        &mut self,
        fresh: Option<ProducerId>,
        now_ms: i64,
    ) -> Result<EndDecision, TxnError> {
        self.check_idle()?;
        if !self.has_timed_out(now_ms) {
            return Err(TxnError::InvalidState);
        }
        Ok(self.fence(fresh, now_ms))
    }

    /// An abort that fences the producer: whatever it still sends is refused
    /// by the partitions from the marker on. It is what an abort by its client
    /// at version 2 would be, whoever the client, as in Kafka. So a client
    /// that aborts after its time is up finds it done and goes on, with the
    /// new epoch; one that commits is refused.
    pub(super) fn fence(&mut self, fresh: Option<ProducerId>, now_ms: i64) -> EndDecision {
        self.decide_and_bump(TxnOutcome::Abort, fresh, now_ms)
    }

    fn decided_image(&self, outcome: TxnOutcome, now_ms: i64) -> TxnImage {
        let mut next = self.image().clone();
        next.state = match outcome {
            TxnOutcome::Commit => TxnState::PrepareCommit,
            TxnOutcome::Abort => TxnState::PrepareAbort,
        };
        next.updated_ms = now_ms;
        next
    }

    /// The record that says that all markers are written.
    pub fn finish(&mut self, now_ms: i64) -> Result<Transit, TxnError> {
        self.check_idle()?;
        let state = match self.image().state {
            TxnState::PrepareCommit => TxnState::CompleteCommit,
            TxnState::PrepareAbort => TxnState::CompleteAbort,
            _ => return Err(TxnError::InvalidState),
        };
        let mut next = self.image().clone();
        next.state = state;
        next.partitions.clear();
        next.updated_ms = now_ms;
        if next.next_producer_id != NO_PRODUCER {
            next.producer_id = next.next_producer_id;
            next.next_producer_id = NO_PRODUCER;
            next.epoch = ProducerEpoch(0);
        }
        Ok(self.begin(next))
    }
}

//! One step of a member towards its target assignment.

use super::assignment::Assignment;
use super::member::{MemberCurrent, MemberState};
use uuid::Uuid;

/// Where the member is to get to.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    /// The epoch of the target assignment.
    pub(super) epoch: i32,
    /// What the member is to own.
    pub(super) partitions: &'a Assignment,
}

/// The member's next state. `owned` is what it says it owns, if it says so;
/// `is_free` whether nobody else holds a partition.
///
/// A member that is to give partitions up keeps its epoch until it no longer
/// reports them, and gets nothing new before: this is what makes a rebalance
/// cooperative without a barrier over the whole group (KIP-848).
pub(super) fn reconcile(
    current: &MemberCurrent,
    target: Target<'_>,
    owned: Option<&Assignment>,
    is_free: impl Fn(&Uuid, i32) -> bool,
) -> MemberCurrent {
    match current.state {
        MemberState::Stable if current.epoch == target.epoch => current.clone(),
        MemberState::Stable | MemberState::UnreleasedPartitions => {
            advance(current, current.epoch, target, owned, is_free)
        }
        MemberState::UnrevokedPartitions if holds(owned, &current.revoking) => current.clone(),
        MemberState::UnrevokedPartitions => {
            advance(current, current.epoch + 1, target, owned, is_free)
        }
    }
}

/// Whether the member still has one of the partitions. One that does not say
/// what it owns may have.
fn holds(owned: Option<&Assignment>, partitions: &Assignment) -> bool {
    owned.is_none_or(|owned| owned.overlaps(partitions))
}

fn advance(
    current: &MemberCurrent,
    epoch: i32,
    target: Target<'_>,
    owned: Option<&Assignment>,
    is_free: impl Fn(&Uuid, i32) -> bool,
) -> MemberCurrent {
    let kept = current.assigned.intersection(target.partitions);
    let revoking = current.assigned.difference(&kept);
    if !revoking.is_empty() && holds(owned, &revoking) {
        return MemberCurrent {
            epoch,
            previous_epoch: current.epoch,
            state: MemberState::UnrevokedPartitions,
            assigned: kept,
            revoking,
        };
    }
    let missing = target.partitions.difference(&kept);
    let (free, held): (Vec<_>, Vec<_>) = missing.iter().partition(|(t, p)| is_free(t, *p));
    let next = MemberCurrent {
        epoch: target.epoch,
        previous_epoch: current.epoch,
        state: if held.is_empty() {
            MemberState::Stable
        } else {
            MemberState::UnreleasedPartitions
        },
        assigned: kept.iter().chain(free).collect(),
        revoking: Assignment::default(),
    };
    let is_same = next.epoch == current.epoch
        && next.state == current.state
        && next.assigned == current.assigned;
    // Nothing has become free: the previous epoch stays what it was.
    if is_same { current.clone() } else { next }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: Uuid = Uuid::from_u128(1);

    fn partitions(numbers: &[i32]) -> Assignment {
        numbers.iter().map(|p| (TOPIC, *p)).collect()
    }

    fn stable(epoch: i32, numbers: &[i32]) -> MemberCurrent {
        MemberCurrent {
            epoch,
            previous_epoch: epoch - 1,
            assigned: partitions(numbers),
            ..Default::default()
        }
    }

    #[test]
    fn a_member_gives_up_before_it_gets() {
        let goal = partitions(&[0, 2]);
        let target = Target {
            epoch: 5,
            partitions: &goal,
        };
        let free = |_: &Uuid, _| true;
        let owns_both = partitions(&[0, 1]);
        let revoking = reconcile(&stable(4, &[0, 1]), target, Some(&owns_both), free);
        assert_eq!(revoking.state, MemberState::UnrevokedPartitions);
        assert_eq!(
            (revoking.epoch, &revoking.revoking),
            (4, &partitions(&[1])),
            "the epoch waits"
        );
        assert_eq!(reconcile(&revoking, target, None, free), revoking);
        assert_eq!(
            reconcile(&revoking, target, Some(&owns_both), free),
            revoking
        );
        let given_up = partitions(&[0]);
        let done = reconcile(&revoking, target, Some(&given_up), free);
        assert_eq!((done.epoch, done.state), (5, MemberState::Stable));
        assert_eq!(done.assigned, goal);
    }

    #[test]
    fn a_member_waits_for_what_others_hold_but_has_the_new_epoch() {
        let goal = partitions(&[0, 1]);
        let target = Target {
            epoch: 5,
            partitions: &goal,
        };
        let waiting = reconcile(&stable(4, &[]), target, None, |_, p| p == 0);
        assert_eq!(
            (waiting.epoch, waiting.state),
            (5, MemberState::UnreleasedPartitions)
        );
        assert_eq!(waiting.assigned, partitions(&[0]));
        assert_eq!(reconcile(&waiting, target, None, |_, p| p == 0), waiting);
        let done = reconcile(&waiting, target, None, |_, _| true);
        assert_eq!((done.state, done.assigned), (MemberState::Stable, goal));
    }
}

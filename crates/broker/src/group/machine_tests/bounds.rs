//! Delays, sizes and the session: what bounds a group.

use super::*;

#[test]
fn an_id_that_was_handed_out_and_never_used_expires() {
    let mut d = Driver::new();
    let mut request = d.request("");
    request.requires_known_member_id = true;
    let first = d.join(request);
    let id = d.joined(first).unwrap().clone().unwrap_err().member_id;
    assert!(!d.group.is_unused());
    d.advance(10_001);
    assert!(d.group.is_unused());
    let late = d.join_as(&id);
    assert_eq!(d.refusal(late), GroupError::UnknownMember);
}

#[test]
fn a_silent_member_is_removed_after_its_session_and_the_others_rebalance() {
    let mut d = Driver::new();
    let (leader, follower) = d.stable_pair();
    d.advance(9_000);
    assert_eq!(d.beat(&leader, 2), Ok(()));
    d.advance(1_001);
    assert_eq!(d.group.state(), GroupState::PreparingRebalance);
    assert_eq!(d.beat(&follower, 2), Err(GroupError::UnknownMember));
    let again = d.join_as(&leader);
    assert_eq!(d.outcome(again).members.len(), 1);
}

#[test]
fn session_and_rebalance_timeouts_are_separate() {
    let mut d = Driver::new();
    let (leader, follower) = d.stable_pair();
    let newcomer = d.join_as("");
    d.join_as(&follower);
    // The leader keeps its session by heartbeats but does not join again.
    for _ in 0..11 {
        d.advance(5_000);
        assert_eq!(d.beat(&leader, 2), Err(GroupError::RebalanceInProgress));
    }
    assert!(
        d.joined(newcomer).is_none(),
        "the rebalance timeout of 60 s is not over"
    );
    d.advance(5_000);
    let outcome = d.outcome(newcomer);
    assert_eq!(outcome.generation, 3);
    assert_eq!(outcome.leader, follower, "the absent leader lost its place");
    assert_eq!(d.beat(&leader, 2), Err(GroupError::UnknownMember));
}

#[test]
fn a_member_parked_in_a_join_does_not_expire() {
    let mut d = Driver::new();
    let (leader, follower) = d.stable_pair();
    let parked = d.join_as(&leader);
    d.beat(&follower, 2).unwrap_err();
    for _ in 0..5 {
        d.advance(9_000);
        assert_eq!(d.beat(&follower, 2), Err(GroupError::RebalanceInProgress));
    }
    assert!(d.joined(parked).is_none());
    d.join_as(&follower);
    assert_eq!(d.outcome(parked).generation, 3);
    assert_eq!(d.beat(&leader, 3), Ok(()), "its session began anew");
}

#[test]
fn a_new_group_waits_the_initial_delay_for_more_members() {
    let mut d = Driver::with(GroupConfig {
        initial_rebalance_delay: Duration::from_millis(100),
        ..Default::default()
    });
    let a = d.join_as("");
    d.advance(99);
    assert!(d.joined(a).is_none());
    let b = d.join_as("");
    d.advance(1);
    assert!(
        d.joined(a).is_none(),
        "somebody arrived, so it waits once more"
    );
    d.advance(100);
    assert_eq!((d.outcome(a).generation, d.outcome(b).generation), (1, 1));
}

#[test]
fn a_group_that_has_become_empty_waits_for_more_members_again() {
    let mut d = Driver::with(GroupConfig {
        initial_rebalance_delay: Duration::from_millis(100),
        ..Default::default()
    });
    let a = d.join_as("");
    d.advance(100);
    let member = d.outcome(a).member_id.clone();
    d.leave(&member, None).unwrap();
    let b = d.join_as("");
    d.advance(99);
    let c = d.join_as("");
    d.advance(1);
    assert!(d.joined(b).is_none(), "somebody arrived in the meantime");
    d.advance(100);
    assert_eq!(
        (d.outcome(b).members.len(), d.outcome(c).generation),
        (2, d.outcome(b).generation)
    );
}

#[test]
fn the_initial_delay_ends_at_the_rebalance_timeout_however_many_arrive() {
    let mut d = Driver::with(GroupConfig {
        initial_rebalance_delay: Duration::from_millis(400),
        ..Default::default()
    });
    let mut request = d.request("");
    request.rebalance_timeout = Duration::from_millis(1_000);
    let first = d.join(request);
    for _ in 0..4 {
        d.advance(250);
        let mut request = d.request("");
        request.rebalance_timeout = Duration::from_millis(1_000);
        d.join(request);
    }
    assert_eq!(d.outcome(first).generation, 1);
}

#[test]
fn a_full_group_takes_nobody_but_its_members() {
    let mut d = Driver::with(GroupConfig {
        initial_rebalance_delay: Duration::ZERO,
        group_members_max: 2,
        ..Default::default()
    });
    let (leader, _) = d.stable_pair();
    let third = d.join_as("");
    assert_eq!(d.refusal(third), GroupError::GroupMaxSizeReached);
    assert_eq!(d.group.state(), GroupState::Stable, "and disturbs nobody");
    let again = d.join_as(&leader);
    assert!(d.joined(again).is_none(), "accepted");
}

#[test]
fn ids_handed_out_count_towards_the_bound() {
    let mut d = Driver::with(GroupConfig {
        group_members_max: 2,
        ..Default::default()
    });
    for expected in [
        GroupError::MemberIdRequired,
        GroupError::MemberIdRequired,
        GroupError::GroupMaxSizeReached,
    ] {
        let mut request = d.request("");
        request.requires_known_member_id = true;
        let ticket = d.join(request);
        assert_eq!(d.refusal(ticket), expected);
    }
}

#[test]
fn subscriptions_and_session_timeouts_are_bounded() {
    let mut d = Driver::with(GroupConfig {
        member_metadata_bytes_max: 10,
        ..Default::default()
    });
    let mut large = d.request("");
    large.protocols = vec![protocol("range", "0123456789")];
    let large = d.join(large);
    assert_eq!(d.refusal(large), GroupError::InvalidRequest);
    for timeout in [
        Duration::from_millis(5_999),
        Duration::from_millis(1_800_001),
    ] {
        let mut request = d.request("");
        request.session_timeout = timeout;
        let ticket = d.join(request);
        assert_eq!(d.refusal(ticket), GroupError::InvalidSessionTimeout);
    }
}

#[test]
fn a_member_that_never_syncs_is_removed_though_it_keeps_beating() {
    let mut d = Driver::new();
    let (leader, follower) = d.stable_pair();
    d.join_as(&leader);
    d.join_as(&follower);
    d.sync(&leader, 3, &[(&leader, "one"), (&follower, "two")]);
    assert_eq!(d.group.state(), GroupState::Stable);
    for _ in 0..12 {
        d.advance(5_001);
        let _ = d.beat(&leader, 3);
        let _ = d.beat(&follower, 3);
    }
    assert_eq!(d.beat(&follower, 3), Err(GroupError::UnknownMember));
    assert_eq!(d.beat(&leader, 3), Err(GroupError::RebalanceInProgress));
}

#[test]
fn a_new_member_whose_client_went_away_does_not_stay_for_ever() {
    let mut d = Driver::with(GroupConfig {
        initial_rebalance_delay: Duration::ZERO,
        new_member_timeout: Duration::from_secs(30),
        ..Default::default()
    });
    let (leader, follower) = d.stable_pair();
    let ghost = d.join_as("");
    for _ in 0..7 {
        d.advance(5_000);
        d.beat(&leader, 2).unwrap_err();
        d.beat(&follower, 2).unwrap_err();
    }
    assert_eq!(d.refusal(ghost), GroupError::UnknownMember);
}

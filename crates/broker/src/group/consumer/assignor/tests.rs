use super::*;
use proptest::prelude::*;

const TOPICS_MAX: u128 = 5;
const PARTITIONS_MAX: i32 = 12;

/// A group as the properties see it.
#[derive(Debug, Clone)]
struct World {
    topics: BTreeMap<Uuid, i32>,
    members: Vec<(String, BTreeSet<Uuid>)>,
}

fn topic_id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn world(homogeneous: bool) -> impl Strategy<Value = World> {
    let topics = prop::collection::btree_map(1..=TOPICS_MAX, 1..=PARTITIONS_MAX, 1..5);
    let members = prop::collection::vec(prop::collection::btree_set(1..=TOPICS_MAX, 0..4), 1..9);
    (topics, members).prop_map(move |(topics, members)| {
        let topics: BTreeMap<Uuid, i32> = topics
            .into_iter()
            .map(|(number, count)| (topic_id(number), count))
            .collect();
        let all: BTreeSet<Uuid> = topics.keys().copied().collect();
        let members = members
            .into_iter()
            .enumerate()
            .map(|(index, wants)| {
                let wants = wants.into_iter().map(topic_id);
                let wants: BTreeSet<Uuid> = wants.filter(|t| all.contains(t)).collect();
                let wants = if homogeneous { all.clone() } else { wants };
                (format!("m{index}"), wants)
            })
            .collect();
        World { topics, members }
    })
}

fn run(
    assignor: Assignor,
    world: &World,
    before: &BTreeMap<String, Assignment>,
) -> Vec<Assignment> {
    let none = Assignment::default();
    let members = world
        .members
        .iter()
        .map(|(id, topics)| MemberDemand {
            id,
            instance_id: None,
            topics: topics.clone(),
            target: before.get(id).unwrap_or(&none),
        })
        .collect();
    assignor.assign(&Demand {
        topics: world.topics.clone(),
        members,
    })
}

fn named(world: &World, assignments: Vec<Assignment>) -> BTreeMap<String, Assignment> {
    let ids = world.members.iter().map(|(id, _)| id.clone());
    ids.zip(assignments).collect()
}

/// Every partition that somebody wants has exactly one owner, who wants it.
fn check_owners(world: &World, assignments: &[Assignment]) {
    let mut owners: BTreeMap<(Uuid, i32), usize> = BTreeMap::new();
    for ((id, wants), assignment) in world.members.iter().zip(assignments) {
        for (topic, partition) in assignment.iter() {
            assert!(wants.contains(&topic), "{id} does not want {topic}");
            *owners.entry((topic, partition)).or_default() += 1;
        }
    }
    for (topic, count) in &world.topics {
        let wanted = world.members.iter().any(|(_, wants)| wants.contains(topic));
        for partition in 0..*count {
            let expected = usize::from(wanted);
            let owners = owners.get(&(*topic, partition)).copied().unwrap_or(0);
            assert_eq!(owners, expected, "{topic}-{partition}");
        }
    }
    assert!(owners.keys().all(|(t, p)| *p < world.topics[t]));
}

/// No partition could go to somebody who would then still have less than its
/// owner has.
fn check_balance(world: &World, assignments: &[Assignment]) {
    for (index, assignment) in assignments.iter().enumerate() {
        for (topic, _) in assignment.by_topic() {
            for (other, (_, wants)) in world.members.iter().enumerate() {
                if other != index && wants.contains(topic) {
                    assert!(
                        assignment.len() <= assignments[other].len() + 1,
                        "{} has {}, {} has {}",
                        world.members[index].0,
                        assignment.len(),
                        world.members[other].0,
                        assignments[other].len(),
                    );
                }
            }
        }
    }
}

fn moved(before: &BTreeMap<String, Assignment>, after: &BTreeMap<String, Assignment>) -> usize {
    let lost = before.iter().map(|(id, had)| {
        let has = after.get(id).cloned().unwrap_or_default();
        had.difference(&has).len()
    });
    lost.sum()
}

proptest! {
    #[test]
    fn uniform_gives_every_partition_once_and_evenly(world in world(false), before in world(false)) {
        let first = named(&before, run(Assignor::Uniform, &before, &BTreeMap::new()));
        let assignments = run(Assignor::Uniform, &world, &first);
        check_owners(&world, &assignments);
        check_balance(&world, &assignments);
    }

    #[test]
    fn uniform_counts_differ_by_one_at_most_when_all_want_the_same(world in world(true)) {
        let assignments = run(Assignor::Uniform, &world, &BTreeMap::new());
        check_owners(&world, &assignments);
        let counts: Vec<usize> = assignments.iter().map(Assignment::len).collect();
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        prop_assert!(most - least <= 1, "{counts:?}");
    }

    #[test]
    fn uniform_moves_nothing_when_nothing_changed(world in world(false)) {
        let first = named(&world, run(Assignor::Uniform, &world, &BTreeMap::new()));
        let second = named(&world, run(Assignor::Uniform, &world, &first));
        prop_assert_eq!(first, second);
    }

    #[test]
    fn uniform_moves_only_what_a_joining_member_gets(world in world(true)) {
        let first = named(&world, run(Assignor::Uniform, &world, &BTreeMap::new()));
        let mut grown = world.clone();
        let wants = world.members[0].1.clone();
        grown.members.push(("new".into(), wants));
        let second = named(&grown, run(Assignor::Uniform, &grown, &first));
        prop_assert_eq!(moved(&first, &second), second["new"].len());
    }

    #[test]
    fn uniform_moves_only_what_a_leaving_member_had(world in world(true)) {
        prop_assume!(world.members.len() > 1);
        let mut first = named(&world, run(Assignor::Uniform, &world, &BTreeMap::new()));
        let mut shrunk = world.clone();
        let (gone, _) = shrunk.members.remove(0);
        first.remove(&gone);
        let second = named(&shrunk, run(Assignor::Uniform, &shrunk, &first));
        check_owners(&shrunk, &second.values().cloned().collect::<Vec<_>>());
        prop_assert_eq!(moved(&first, &second), 0);
    }

    #[test]
    fn range_gives_contiguous_ranges_and_every_partition_once(world in world(false)) {
        let assignments = run(Assignor::Range, &world, &BTreeMap::new());
        check_owners(&world, &assignments);
        for assignment in &assignments {
            for (_, partitions) in assignment.by_topic() {
                let first = *partitions.first().unwrap();
                let last = *partitions.last().unwrap();
                prop_assert_eq!(usize::try_from(last - first).unwrap() + 1, partitions.len());
            }
        }
    }

    #[test]
    fn range_brings_equal_partitions_of_equal_topics_together(members in 1usize..8, count in 1..12) {
        let topics: BTreeMap<Uuid, i32> = [(topic_id(1), count), (topic_id(2), count)].into();
        let wants: BTreeSet<Uuid> = topics.keys().copied().collect();
        let members = (0..members).map(|m| (format!("m{m}"), wants.clone())).collect();
        let world = World { topics, members };
        for assignment in run(Assignor::Range, &world, &BTreeMap::new()) {
            let sets: Vec<_> = assignment.by_topic().map(|(_, partitions)| partitions).collect();
            prop_assert!(sets.windows(2).all(|pair| pair[0] == pair[1]));
            prop_assert!(sets.is_empty() || sets.len() == 2);
        }
    }
}

#[test]
fn range_orders_static_members_by_instance_and_before_the_others() {
    let topics: BTreeMap<Uuid, i32> = [(topic_id(1), 3)].into();
    let wants: BTreeSet<Uuid> = topics.keys().copied().collect();
    let none = Assignment::default();
    let member = |id, instance_id| MemberDemand {
        id,
        instance_id,
        topics: wants.clone(),
        target: &none,
    };
    let members = vec![
        member("a", None),
        member("z", Some("2")),
        member("y", Some("10")),
    ];
    let assignments = Assignor::Range.assign(&Demand { topics, members });
    let first = |index: usize| assignments[index].iter().next().unwrap().1;
    assert_eq!((first(0), first(1), first(2)), (2, 1, 0));
}

/// What Kafka 4.3's RangeAssignor answers: topics of 4 and 5 partitions, two
/// dynamic members and a static one.
#[test]
fn range_answers_what_kafkas_does() {
    let (one, two) = (topic_id(1), topic_id(2));
    let topics: BTreeMap<Uuid, i32> = [(one, 4), (two, 5)].into();
    let wants: BTreeSet<Uuid> = topics.keys().copied().collect();
    // Where partitions are now plays no part.
    let before: Assignment = [(one, 0), (one, 3)].into_iter().collect();
    let member = |id, instance_id| MemberDemand {
        id,
        instance_id,
        topics: wants.clone(),
        target: &before,
    };
    let members = vec![member("b", None), member("a", None), member("z", Some("1"))];
    let assignments = Assignor::Range.assign(&Demand { topics, members });
    let expected = [
        vec![(one, 3), (two, 4)],
        vec![(one, 2), (two, 2), (two, 3)],
        vec![(one, 0), (one, 1), (two, 0), (two, 1)],
    ];
    let answered: Vec<Vec<(Uuid, i32)>> = assignments.iter().map(|a| a.iter().collect()).collect();
    assert_eq!(answered, expected);
}

#[test]
fn names_are_kafkas() {
    assert_eq!(Assignor::by_name("uniform"), Some(Assignor::Uniform));
    assert_eq!(Assignor::by_name("range"), Some(Assignor::Range));
    assert_eq!(Assignor::by_name("sticky"), None);
}

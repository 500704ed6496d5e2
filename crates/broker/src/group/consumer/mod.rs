//! Consumer groups of KIP-848: the broker assigns, members only say what they
//! want and what they own.
//!
//! | module | what |
//! |---|---|
//! | [`machine`] | a group: what its records say, and the deadlines of its members |
//! | [`heartbeat`], [`leaving`] | what ConsumerGroupHeartbeat decides |
//! | [`update`], [`reconcile`] | the steps that joins of both protocols share |
//! | [`subscription`] | topics by name and by pattern, and their hash |
//! | [`assignor`] | the broker's assignors |
//! | [`classic`] | members that use the classic protocol within such a group |
//! | [`convert`] | a classic group becomes such a group, and back |
//! | [`commit`] | who may commit and read offsets |
//! | [`records`] | Kafka's record formats |
//! | [`topics`] | what the group needs to know of topics |
//!
//! Pure: an event is decided on an immutable group and gives records and an
//! answer; the records are appended, and only then applied. What is applied
//! at run time and what a replay applies is the same.
//!
//! Three epochs: the *group epoch* grows when members, subscriptions or their
//! topics change; the *assignment epoch* is the group epoch that the target
//! assignment was computed for; a *member epoch* reaches the assignment epoch
//! when the member has given up all that it must. A partition has one owner:
//! nobody gets it before its owner has said that it is given up.

mod assignment;
mod assignor;
mod classic;
mod commit;
mod convert;
mod heartbeat;
mod leaving;
mod machine;
mod member;
mod reconcile;
mod records;
mod subscription;
mod topics;
mod update;

#[cfg(test)]
mod machine_tests;
#[cfg(test)]
pub(in crate::group) mod testing;

pub use assignment::Assignment;
pub use assignor::Assignor;
pub use heartbeat::{ConsumerHeartbeat, HeartbeatAnswer};
pub use machine::{ConsumerGroup, ConsumerGroupState};
pub use member::{ClassicSide, ConsumerMember, MemberCurrent, MemberMetadata, MemberState};
pub use records::ConsumerRecord;
pub use topics::{GroupPace, TopicSource, TopicsImage};

pub(super) use convert::{from_classic, to_classic};
pub(super) use leaving::Leaving;
pub(super) use records::{decode, encode, owns_key};

//! The bottom layer: ids, units, limits, the environment seams and the ports.
//!
//! What is here is what two layers that must not see each other both need:
//!
//! | module | what |
//! |---|---|
//! | [`ids`] | newtypes for offsets, epochs, partitions, producers |
//! | [`limits`] | every named bound that more than one crate shares |
//! | [`env`] | the seams for time, chance and disk; the real ones and the simulated ones |
//! | [`ports`] | the traits through which the engine meets the log |
//! | [`partitioner`] | Kafka's murmur2 key partitioner |
//!
//! What is deliberately absent: the Kafka wire format (crate `wire`), Arrow,
//! DataFusion, sockets, any I/O that does not go through [`env`].

pub mod env;
pub mod ids;
pub mod limits;
pub mod partitioner;
pub mod ports;

//! Record batches, message format v2 (KIP-98): the unit that a producer
//! sends, the log stores and a consumer fetches, unchanged but for its base
//! offset and leader epoch.
//!
//! ```text
//! 0  base offset i64        21 attributes i16           43 producer id i64
//! 8  batch length i32       23 last offset delta i32    51 producer epoch i16
//! 12 leader epoch i32       27 base timestamp i64       53 base sequence i32
//! 16 magic i8 (2)           35 max timestamp i64        57 records count i32
//! 17 CRC-32C u32 of all from byte 21 on                 61 records
//! ```
//!
//! - [`BatchHeader::parse`] needs only the first 61 bytes: enough to scan a
//!   file without reading its records.
//! - [`BatchView`] is a whole batch, opaque until [`BatchView::records`].
//! - [`BatchView::check_framing`] walks the records without making any.
//! - [`split_batches`] walks a concatenation of batches.
//! - [`set_base_offset`], [`set_leader_epoch`], [`set_log_append_time`] and
//!   [`set_max_timestamp`] are what a broker may change.
//! - [`retain_records`], [`without_records`] and [`recompress`] are what the
//!   cleaner and `compression.type` make of one.
//! - [`BatchBuilder`] and [`EndTxnMarker`] make new batches.
//!
//! Magic 0 and 1 are refused with [`BatchError::UnsupportedMagic`].

mod builder;
mod compact;
mod control;
mod error;
mod framing;
mod header;
mod patch;
mod record;
mod view;

pub use builder::{BatchBuilder, BatchOptions};
pub use compact::{recompress, retain_records, without_records};
pub use control::{ControlKind, EndTxnMarker};
pub use error::BatchError;
pub use framing::FramedRecord;
pub use header::{Attributes, BatchHeader, HEADER_BYTES, LOG_OVERHEAD_BYTES, TimestampType};
pub use patch::{
    set_base_offset, set_create_time, set_leader_epoch, set_log_append_time, set_max_timestamp,
};
pub use record::{Record, RecordHeader, Records};
pub use view::{BatchView, SplitBatches, is_intact, split_batches};

//! Where an answer ended, as a token for the one that goes on.
//!
//! Opaque to clients: URL-safe base64 of a version, the direction, and for
//! each partition its number (as the distance from the one before) and the
//! offset, as variable-length integers.

use crate::problem::Problem;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The format.
const VERSION: u64 = 1;

/// Where to go on in each partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Towards older records.
    pub(super) backwards: bool,
    /// Partition and offset, by partition: the next to read, or one past it
    /// when going backwards.
    pub(super) positions: Vec<(i32, i64)>,
}

impl Cursor {
    pub(super) fn encode(&self) -> String {
        let mut bytes = Vec::new();
        put(&mut bytes, VERSION);
        put(&mut bytes, u64::from(self.backwards));
        let mut before = 0;
        for (partition, offset) in &self.positions {
            put(&mut bytes, u64::from(partition.abs_diff(before)));
            put(&mut bytes, u64::try_from(*offset).unwrap_or(0));
            before = *partition;
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Refuses what was not made by [`Self::encode`].
    pub(super) fn decode(token: &str) -> Result<Self, Problem> {
        Self::parse(token).ok_or_else(|| {
            Problem::bad_request("next is not a position of this API")
                .hint("pass `next` of an answer as it is, or leave it out to begin anew")
        })
    }

    fn parse(token: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let mut rest = bytes.as_slice();
        if take(&mut rest)? != VERSION {
            return None;
        }
        let backwards = match take(&mut rest)? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let mut positions: Vec<(i32, i64)> = Vec::new();
        while !rest.is_empty() {
            let distance = i32::try_from(take(&mut rest)?).ok()?;
            let offset = i64::try_from(take(&mut rest)?).ok()?;
            let partition = match positions.last() {
                None => distance,
                Some(_) if distance == 0 => return None,
                Some((before, _)) => before.checked_add(distance)?,
            };
            positions.push((partition, offset));
        }
        Some(Self {
            backwards,
            positions,
        })
    }
}

fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_and_nothing_else_does() {
        let cursor = Cursor {
            backwards: true,
            positions: vec![(0, 0), (3, 1 << 40), (999, i64::MAX)],
        };
        assert_eq!(Cursor::decode(&cursor.encode()).unwrap(), cursor);
        for token in [
            "",
            "?",
            "AA",
            "Ag",
            "AQI",
            "AQAA",
            "AQD_____________w",
            "AQAAAAAA",
        ] {
            assert_eq!(Cursor::decode(token).unwrap_err().status, 400, "{token}");
        }
    }

    #[test]
    fn a_view_of_many_partitions_fits_into_an_address() {
        let cursor = Cursor {
            backwards: false,
            positions: (0..crate::messages::PARTITIONS_MAX)
                .map(|p| (i32::try_from(p).unwrap(), 1 << 50))
                .collect(),
        };
        assert!(cursor.encode().len() < 16 * 1024);
    }
}

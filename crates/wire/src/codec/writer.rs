//! Writing of variable-length numbers.

use bytes::{BufMut, BytesMut};

/// Writes an unsigned number of 7 bits a byte (KIP-482).
#[inline]
pub fn put_unsigned_varint(out: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Writes a zig-zag number, as inside records.
#[inline]
pub fn put_varint(out: &mut BytesMut, value: i32) {
    put_unsigned_varint(out, zigzag(value));
}

/// Writes a zig-zag number of 64 bits, as inside records.
#[inline]
pub fn put_varlong(out: &mut BytesMut, value: i64) {
    let mut raw = zigzag_long(value);
    while raw >= 0x80 {
        out.put_u8(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.put_u8(raw as u8);
}

/// Bytes that [`put_unsigned_varint`] writes.
#[inline]
#[must_use]
pub fn unsigned_varint_len(value: u32) -> usize {
    seven_bit_groups(32 - value.leading_zeros())
}

/// Bytes that [`put_varint`] writes.
#[inline]
#[must_use]
pub fn varint_len(value: i32) -> usize {
    unsigned_varint_len(zigzag(value))
}

/// Bytes that [`put_varlong`] writes.
#[inline]
#[must_use]
pub fn varlong_len(value: i64) -> usize {
    seven_bit_groups(64 - zigzag_long(value).leading_zeros())
}

fn seven_bit_groups(bits: u32) -> usize {
    bits.div_ceil(7).max(1) as usize
}

fn zigzag(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

fn zigzag_long(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lengths_are_what_is_written(a in any::<u32>(), b in any::<i64>(), shift in 0u32..64) {
            let (a, b) = (a >> (shift % 32), b >> shift);
            let mut out = BytesMut::new();
            put_unsigned_varint(&mut out, a);
            prop_assert_eq!(out.len(), unsigned_varint_len(a));
            out.clear();
            put_varlong(&mut out, b);
            prop_assert_eq!(out.len(), varlong_len(b));
            out.clear();
            put_varint(&mut out, b as i32);
            prop_assert_eq!(out.len(), varint_len(b as i32));
        }
    }
}

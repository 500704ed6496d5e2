//! A file's bytes, and writes that may or may not reach the disk.

use super::chance::Chance;

/// Smallest unit that a disk writes whole.
pub(super) const SECTOR_BYTES: usize = 512;

#[derive(Debug, Default, Clone)]
pub(super) struct Content {
    pub(super) now: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) pending: Vec<ContentChange>,
}

#[derive(Debug, Clone)]
pub(super) enum ContentChange {
    Write { position: usize, bytes: Vec<u8> },
    Resize(usize),
}

impl ContentChange {
    pub(super) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { position, bytes } => write(content, *position, bytes),
            Self::Resize(size) => content.resize(*size, 0),
        }
    }
}

fn write(content: &mut Vec<u8>, position: usize, bytes: &[u8]) {
    let end = position + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[position..end].copy_from_slice(bytes);
}

/// Content after a crash.
pub(super) fn survived(content: &Content, chance: &mut Chance) -> Content {
    let mut bytes = content.durable.clone();
    for change in &content.pending {
        match change {
            ContentChange::Resize(_) if chance.keep() => change.apply(&mut bytes),
            ContentChange::Resize(_) => {}
            ContentChange::Write {
                position,
                bytes: written,
            } => {
                for (at, sector) in sectors(*position, written) {
                    if chance.keep() {
                        write(&mut bytes, at, sector);
                    }
                }
            }
        }
    }
    Content {
        now: bytes.clone(),
        durable: bytes,
        pending: Vec::new(),
    }
}

/// A write cut at the sectors of the disk.
pub(super) fn sectors(position: usize, bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let mut parts = Vec::new();
    let mut at = position;
    let mut rest = bytes;
    while !rest.is_empty() {
        let size = (SECTOR_BYTES - at % SECTOR_BYTES).min(rest.len());
        let (sector, after) = rest.split_at(size);
        parts.push((at, sector));
        at += size;
        rest = after;
    }
    parts
}

//! Names of files and folders, and changes of them that may or may not reach the disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(super) type FileId = u64;

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    File(FileId),
    Folder,
}

/// What a name stands for, and which change gave it: a removal that reaches
/// the disk late must not take what has been created under that name since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) node: Node,
    pub(super) since: u64,
}

pub(super) type Names = BTreeMap<PathBuf, Named>;

/// A change of names in one folder. A folder moves with all below it.
#[derive(Debug, Clone)]
pub(super) enum NameChange {
    Link(PathBuf, Node),
    Unlink(PathBuf),
    /// From, to, and what has the name `from` at that moment: a rename that
    /// reaches the disk without the changes before it moves no other file.
    Rename(PathBuf, PathBuf, Node),
}

impl NameChange {
    /// Follows a folder that was renamed.
    pub(super) fn move_to(&mut self, from: &Path, to: &Path) {
        let moved = |path: &mut PathBuf| {
            if let Ok(below) = path.strip_prefix(from) {
                *path = to.join(below);
            }
        };
        match self {
            Self::Link(path, _) | Self::Unlink(path) => moved(path),
            Self::Rename(a, b, _) => {
                moved(a);
                moved(b);
            }
        }
    }

    pub(super) fn folder(&self) -> &Path {
        let path = match self {
            Self::Link(path, _) | Self::Unlink(path) | Self::Rename(_, path, _) => path,
        };
        path.parent().unwrap_or(Path::new("/"))
    }
}

pub(super) fn apply_name(names: &mut Names, change: &NameChange, number: u64) {
    match change {
        NameChange::Link(path, node) => {
            let named = Named {
                node: *node,
                since: number,
            };
            names.insert(path.clone(), named);
        }
        NameChange::Unlink(path) => {
            names.retain(|name, named| !name.starts_with(path) || named.since > number);
        }
        NameChange::Rename(from, to, node @ Node::File(_)) => {
            if names.get(from).is_some_and(|named| named.node == *node) {
                names.remove(from);
            }
            if names.get(to).is_none_or(|named| named.since < number) {
                let named = Named {
                    node: *node,
                    since: number,
                };
                names.insert(to.clone(), named);
            }
        }
        NameChange::Rename(from, to, Node::Folder) => {
            let moved: Vec<(PathBuf, Named)> = names
                .iter()
                .filter(|(_, named)| named.since < number)
                .filter_map(|(name, named)| {
                    let below = name.strip_prefix(from).ok()?;
                    let name = if below.as_os_str().is_empty() {
                        to.clone()
                    } else {
                        to.join(below)
                    };
                    let node = named.node;
                    // The file is here since now.
                    Some((
                        name,
                        Named {
                            node,
                            since: number,
                        },
                    ))
                })
                .collect();
            if !moved.is_empty() {
                names.retain(|name, named| {
                    named.since > number || !name.starts_with(from) && !name.starts_with(to)
                });
                names.extend(moved);
            }
        }
    }
}

/// A name whose folder was lost is lost.
pub(super) fn drop_orphans(names: &mut Names) {
    let all = names.clone();
    names.retain(|name, _| {
        name.ancestors()
            .skip(1)
            .filter(|a| a.parent().is_some())
            .all(|a| all.get(a).map(|named| named.node) == Some(Node::Folder))
    });
}

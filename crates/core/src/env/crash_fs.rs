//! A file system in memory that forgets what was not synced.
//!
//! Every change is kept twice: as programs see it, and as it would be after
//! power loss. [`CrashFs::crash`] gives a new file system in which synced
//! content and names are kept, and of the rest what [`Keep`] says:
//!
//! - Writes and size changes of a file are pending until
//!   [`FsFile::sync_data`] of that file. What survives of them is chosen by
//!   sector, so a write can be torn, and a later write can survive an earlier
//!   one; a hole reads as zeros.
//! - Created, renamed and removed names are pending until [`Fs::sync_dir`] of
//!   their folder. Each survives or not by itself; a rename is never half done.
//!   Syncing a file does not make its name durable, nor does syncing a folder
//!   make the folder's own name durable: POSIX promises neither.
//!
//! Tests can count syncs, have some of them do nothing ([`CrashFs::ignore_syncs`],
//! to show that each one is needed), and make syncs or writes fail.
//!
//! It is not a model of one real file system: it is as forgetful as POSIX
//! allows, and more so than most.

mod chance;
mod content;
mod names;

use super::fs::{Fs, FsFile};
use chance::Chance;
use content::{Content, ContentChange, survived};
use names::{FileId, NameChange, Names, Node, apply_name, drop_orphans};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What survives a crash of all that was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing: the harshest power loss.
    Nothing,
    /// Everything, still unsynced: the process was killed, the machine and
    /// its page cache live on.
    Everything,
    /// A part of it, chosen by this seed.
    Random(u64),
}

/// What is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncKind {
    /// The content of a file.
    File,
    /// The names in a folder.
    Folder,
    /// Everything, asked of this file.
    FileSystem,
}

/// One call of a sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncCall {
    /// Of what.
    pub kind: SyncKind,
    /// Its path as it is now.
    pub path: PathBuf,
    /// How many syncs of this path there were before.
    pub earlier: usize,
}

/// Decides about a call of a sync.
type SyncRule = Box<dyn Fn(&SyncCall) -> bool + Send + Sync>;

/// Decides about a write to a path, or an open.
type WriteRule = Box<dyn Fn(&Path) -> bool + Send + Sync>;

/// Decides whether a change fails, and how.
type ChangeRule = Box<dyn Fn(&Change) -> Option<io::ErrorKind> + Send + Sync>;

/// What a change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// Content is written.
    Write,
    /// A file is cut or extended.
    Resize,
    /// A file or folder gets, loses or changes its name.
    Name,
    /// A file or folder is synced.
    Sync,
}

/// One attempt to change something or to make it durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What is done.
    pub kind: ChangeKind,
    /// To what, as it is named now.
    pub path: PathBuf,
    /// How many changes there were before, of any kind.
    pub earlier: usize,
}

/// See the module's docs. Clones share one file system.
#[derive(Clone)]
pub struct CrashFs {
    shared: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<FileId, Content>,
    /// Files and folders as programs see them.
    names: Names,
    /// As they are on the disk.
    durable_names: Names,
    /// Changes of names since the last sync of their folder, in order.
    pending_names: Vec<(u64, NameChange)>,
    /// Numbers the changes of names.
    names_changed: u64,
    next_id: FileId,
    syncs: BTreeMap<PathBuf, usize>,
    calls: Vec<SyncCall>,
    ignore: Option<SyncRule>,
    fail_sync: Option<SyncRule>,
    fail_write: Option<WriteRule>,
    fail_open: Option<WriteRule>,
    /// Syncs until the power goes.
    syncs_left: Option<usize>,
    /// Changes so far.
    changes: usize,
    /// The change at which the power goes.
    power_off_at: Option<usize>,
    fail_change: Option<ChangeRule>,
}

impl Default for CrashFs {
    fn default() -> Self {
        Self::new()
    }
}

impl CrashFs {
    /// An empty file system.
    pub fn new() -> Self {
        Self {
            shared: Arc::default(),
        }
    }

    /// The same, ready to share.
    pub fn shared(&self) -> Arc<dyn Fs> {
        Arc::new(self.clone())
    }

    /// The file system as the next start finds it. This one goes on unharmed,
    /// so that threads which still hold it do no damage to the new one.
    #[must_use]
    pub fn crash(&self, keep: Keep) -> Self {
        let state = self.shared.lock();
        if keep == Keep::Everything {
            return Self {
                shared: Arc::new(Mutex::new(state.after_a_kill())),
            };
        }
        let mut chance = Chance::new(keep);
        let mut names = state.durable_names.clone();
        for (number, change) in &state.pending_names {
            if chance.keep() {
                apply_name(&mut names, change, *number);
            }
        }
        drop_orphans(&mut names);
        let live: BTreeSet<FileId> = names
            .values()
            .filter_map(|named| match named.node {
                Node::File(id) => Some(id),
                Node::Folder => None,
            })
            .collect();
        let files = live
            .into_iter()
            .filter_map(|id| Some((id, survived(state.files.get(&id)?, &mut chance))))
            .collect();
        let after = State {
            files,
            durable_names: names.clone(),
            names,
            next_id: state.next_id,
            names_changed: state.names_changed,
            ..State::default()
        };
        Self {
            shared: Arc::new(Mutex::new(after)),
        }
    }

    /// Has the syncs for which `rule` is true report success and do nothing.
    pub fn ignore_syncs(&self, rule: impl Fn(&SyncCall) -> bool + Send + Sync + 'static) {
        self.shared.lock().ignore = Some(Box::new(rule));
    }

    /// Has the syncs for which `rule` is true fail; as on Linux, a later sync
    /// of the same file then succeeds without having written what the failed
    /// one should have.
    pub fn fail_syncs(&self, rule: impl Fn(&SyncCall) -> bool + Send + Sync + 'static) {
        self.shared.lock().fail_sync = Some(Box::new(rule));
    }

    /// Has writes to the paths for which `rule` is true fail for lack of
    /// space, half done.
    pub fn fail_writes(&self, rule: impl Fn(&Path) -> bool + Send + Sync + 'static) {
        self.shared.lock().fail_write = Some(Box::new(rule));
    }

    /// Has opens of the paths for which `rule` is true fail, as when too many
    /// files are open.
    pub fn fail_opens(&self, rule: impl Fn(&Path) -> bool + Send + Sync + 'static) {
        self.shared.lock().fail_open = Some(Box::new(rule));
    }

    /// Has every change fail once `syncs` more syncs were done: the moment at
    /// which the power goes, to be followed by [`CrashFs::crash`].
    pub fn power_off_after(&self, syncs: usize) {
        self.shared.lock().syncs_left = Some(syncs);
    }

    /// Has every change fail once `changes` more were made: the power goes
    /// between any two of them, not only at a sync.
    pub fn power_off_after_changes(&self, changes: usize) {
        let mut state = self.shared.lock();
        state.power_off_at = Some(state.changes + changes);
    }

    /// Whether the power went, as one of the above had asked.
    pub fn is_off(&self) -> bool {
        self.shared.lock().is_off()
    }

    /// Has the changes for which `rule` gives an error fail with it. For lack
    /// of space a write is half done; after a failed sync what it should have
    /// written is dropped, as in [`CrashFs::fail_syncs`].
    pub fn fail_changes(
        &self,
        rule: impl Fn(&Change) -> Option<io::ErrorKind> + Send + Sync + 'static,
    ) {
        self.shared.lock().fail_change = Some(Box::new(rule));
    }

    /// Changes so far, those that failed included.
    pub fn changes_count(&self) -> usize {
        self.shared.lock().changes
    }

    /// Ends all rules.
    pub fn heal(&self) {
        let mut state = self.shared.lock();
        state.power_off_at = None;
        state.fail_change = None;
        state.syncs_left = None;
        state.ignore = None;
        state.fail_sync = None;
        state.fail_write = None;
        state.fail_open = None;
    }

    /// All syncs so far, in order.
    pub fn sync_calls(&self) -> Vec<SyncCall> {
        self.shared.lock().calls.clone()
    }

    /// The syncs so far of paths that end with `suffix`.
    pub fn syncs_of(&self, kind: SyncKind, suffix: &str) -> usize {
        let state = self.shared.lock();
        let matches =
            |call: &&SyncCall| call.kind == kind && call.path.to_string_lossy().ends_with(suffix);
        state.calls.iter().filter(matches).count()
    }

    /// Changes one byte of a file, on the disk and as seen: damage.
    pub fn damage(&self, path: &Path, position: usize) {
        let mut state = self.shared.lock();
        if let Some(Node::File(id)) = state.names.get(path).map(|named| named.node)
            && let Some(content) = state.files.get_mut(&id)
        {
            for bytes in [&mut content.now, &mut content.durable] {
                if let Some(byte) = bytes.get_mut(position) {
                    *byte ^= 0x55;
                }
            }
            if let Some(byte) = content
                .now
                .get(position)
                .filter(|_| !content.pending.is_empty())
            {
                content.pending.push(ContentChange::Write {
                    position,
                    bytes: vec![*byte],
                });
            }
        }
    }
}

impl State {
    fn after_a_kill(&self) -> Self {
        Self {
            files: self.files.clone(),
            names: self.names.clone(),
            durable_names: self.durable_names.clone(),
            pending_names: self.pending_names.clone(),
            names_changed: self.names_changed,
            next_id: self.next_id,
            ..Self::default()
        }
    }

    fn node(&self, path: &Path) -> io::Result<Node> {
        self.names.get(path).map(|named| named.node).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("{} not found", path.display()),
            )
        })
    }

    fn change_name(&mut self, change: NameChange) -> io::Result<()> {
        let path = match &change {
            NameChange::Link(path, _)
            | NameChange::Unlink(path)
            | NameChange::Rename(_, path, _) => path.clone(),
        };
        self.change(ChangeKind::Name, &path)?;
        self.names_changed += 1;
        self.take_along(&change);
        apply_name(&mut self.names, &change, self.names_changed);
        self.pending_names.push((self.names_changed, change));
        Ok(())
    }

    /// What is pending in a folder goes with the folder: a new folder of the
    /// same name has nothing to do with it.
    fn take_along(&mut self, change: &NameChange) {
        match change {
            NameChange::Link(..) => {}
            NameChange::Unlink(gone) => {
                self.pending_names
                    .retain(|(_, pending)| !pending.folder().starts_with(gone));
            }
            NameChange::Rename(from, to, _) => {
                for (_, pending) in &mut self.pending_names {
                    if pending.folder().starts_with(from) {
                        pending.move_to(from, to);
                    }
                }
            }
        }
    }

    fn is_off(&self) -> bool {
        self.syncs_left == Some(0) || self.power_off_at.is_some_and(|at| self.changes >= at)
    }

    /// Notes an attempt to change something; an error when it is to fail.
    fn change(&mut self, kind: ChangeKind, path: &Path) -> io::Result<()> {
        if self.is_off() {
            return Err(io::Error::other("injected: the power is off"));
        }
        let change = Change {
            kind,
            path: path.to_owned(),
            earlier: self.changes,
        };
        self.changes += 1;
        match self.fail_change.as_ref().and_then(|rule| rule(&change)) {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// What a failed sync should have written is gone for good.
    fn drop_pending(&mut self, path: &Path) {
        if let Some(Node::File(id)) = self.names.get(path).map(|named| named.node)
            && let Some(content) = self.files.get_mut(&id)
        {
            content.pending.clear();
        }
    }

    /// Notes the call; an error when it is to fail, else whether it counts.
    fn sync(&mut self, kind: SyncKind, path: &Path) -> io::Result<bool> {
        if let Err(error) = self.change(ChangeKind::Sync, path) {
            if !self.is_off() {
                self.drop_pending(path);
            }
            return Err(error);
        }
        self.syncs_left = self.syncs_left.map(|left| left - 1);
        let earlier = self.syncs.entry(path.to_owned()).or_default();
        let call = SyncCall {
            kind,
            path: path.to_owned(),
            earlier: *earlier,
        };
        *earlier += 1;
        self.calls.push(call.clone());
        if self.fail_sync.as_ref().is_some_and(|rule| rule(&call)) {
            self.drop_pending(path);
            return Err(io::Error::other("injected: sync failed"));
        }
        Ok(!self.ignore.as_ref().is_some_and(|rule| rule(&call)))
    }

    fn path_of(&self, id: FileId) -> PathBuf {
        let named = self
            .names
            .iter()
            .find(|(_, named)| named.node == Node::File(id));
        named.map(|(path, _)| path.clone()).unwrap_or_default()
    }

    fn content(&mut self, id: FileId) -> io::Result<&mut Content> {
        self.files
            .get_mut(&id)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Fs for CrashFs {
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn FsFile>> {
        let mut state = self.shared.lock();
        if state.fail_open.as_ref().is_some_and(|rule| rule(path)) {
            return Err(io::Error::other("too many open files"));
        }
        let id = match state.node(path) {
            Ok(Node::File(id)) => id,
            Ok(Node::Folder) => return Err(io::ErrorKind::IsADirectory.into()),
            Err(error) if !create => return Err(error),
            Err(_) => {
                if let Some(folder) = path.parent().filter(|p| p.parent().is_some()) {
                    state.node(folder)?;
                }
                let id = state.next_id;
                state.next_id += 1;
                state.files.insert(id, Content::default());
                state.change_name(NameChange::Link(path.to_owned(), Node::File(id)))?;
                id
            }
        };
        Ok(Arc::new(CrashFile {
            shared: Arc::clone(&self.shared),
            id,
        }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.shared.lock();
        let mut missing: Vec<&Path> = path
            .ancestors()
            .filter(|a| a.parent().is_some() && !state.names.contains_key(*a))
            .collect();
        missing.reverse();
        for folder in missing {
            state.change_name(NameChange::Link(folder.to_owned(), Node::Folder))?;
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.shared.lock();
        let node = state.node(from)?;
        state.change_name(NameChange::Rename(from.to_owned(), to.to_owned(), node))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.shared.lock();
        match state.node(path)? {
            Node::File(_) => state.change_name(NameChange::Unlink(path.to_owned())),
            Node::Folder => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.node(path)?;
        state.change_name(NameChange::Unlink(path.to_owned()))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.shared.lock();
        if path.parent().is_some() && state.node(path)? != Node::Folder {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(state
            .names
            .keys()
            .filter(|name| name.parent() == Some(path))
            .cloned()
            .collect())
    }

    fn exists(&self, path: &Path) -> bool {
        self.shared.lock().names.contains_key(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.shared.lock();
        if !state.sync(SyncKind::Folder, path)? {
            return Ok(());
        }
        let (now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut state.pending_names)
            .into_iter()
            .partition(|(_, change)| change.folder() == path);
        for (number, change) in &now {
            apply_name(&mut state.durable_names, change, *number);
        }
        state.pending_names = later;
        Ok(())
    }
}

struct CrashFile {
    shared: Arc<Mutex<State>>,
    id: FileId,
}

impl FsFile for CrashFile {
    /// All of it is memory; but no socket can be handed it.
    fn is_cached(&self, _position: u64, _size: usize) -> bool {
        true
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut state = self.shared.lock();
        let content = state.content(self.id)?;
        let start = usize::try_from(position)
            .unwrap_or(usize::MAX)
            .min(content.now.len());
        let from = &content.now[start..];
        let size = from.len().min(buffer.len());
        buffer[..size].copy_from_slice(&from[..size]);
        Ok(size)
    }

    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        let mut state = self.shared.lock();
        let position = usize::try_from(position).map_err(io::Error::other)?;
        let path = state.path_of(self.id);
        let full = match state.change(ChangeKind::Write, &path) {
            Ok(()) => state.fail_write.as_ref().is_some_and(|rule| rule(&path)),
            Err(error) if error.kind() == io::ErrorKind::StorageFull => true,
            Err(error) => return Err(error),
        };
        let written = if full {
            &bytes[..bytes.len() / 2]
        } else {
            bytes
        };
        let change = ContentChange::Write {
            position,
            bytes: written.to_vec(),
        };
        let content = state.content(self.id)?;
        change.apply(&mut content.now);
        content.pending.push(change);
        if full {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        let size = usize::try_from(size).map_err(io::Error::other)?;
        let mut state = self.shared.lock();
        let path = state.path_of(self.id);
        state.change(ChangeKind::Resize, &path)?;
        let content = state.content(self.id)?;
        let change = ContentChange::Resize(size);
        change.apply(&mut content.now);
        content.pending.push(change);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.shared.lock().content(self.id)?.now.len() as u64)
    }

    fn sync_file_system(&self) -> io::Result<()> {
        let mut state = self.shared.lock();
        let path = state.path_of(self.id);
        if state.sync(SyncKind::FileSystem, &path)? {
            state.pending_names.clear();
            state.durable_names = state.names.clone();
            for content in state.files.values_mut() {
                for change in std::mem::take(&mut content.pending) {
                    change.apply(&mut content.durable);
                }
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.shared.lock();
        let path = state.path_of(self.id);
        if state.sync(SyncKind::File, &path)? {
            let content = state.content(self.id)?;
            // Not simply `now`: what a failed sync has dropped stays dropped.
            let pending = std::mem::take(&mut content.pending);
            for change in &pending {
                change.apply(&mut content.durable);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

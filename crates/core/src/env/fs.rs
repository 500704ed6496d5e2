//! Disk: every file that holds a user's data is reached through [`Fs`].
//!
//! Synchronous on purpose: callers run it on threads that may block. Paths
//! are absolute. A *position* is a byte offset in a file.
//!
//! Durability, as POSIX has it and as the crash file system enforces it in
//! tests: written bytes survive a crash only after [`FsFile::sync_data`];
//! a created, renamed or removed name survives only after
//! [`Fs::sync_dir`] of its folder.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One byte in this many is looked for in the page cache: the kernel reads at
/// least so much ahead.
#[cfg(target_os = "linux")]
const CACHE_LOOK_BYTES: usize = 64 * 1024;

/// A file system.
pub trait Fs: Send + Sync + 'static {
    /// Opens a file for reading and writing; creates it, empty, when
    /// `create` is set and it is not there.
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn FsFile>>;
    /// Creates a folder and its parents.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Renames a file or folder; replaces an existing file.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder and all below it.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// The entries of a folder, sorted by name.
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>>;
    /// Whether a file or folder is there.
    fn exists(&self, path: &Path) -> bool;
    /// Size of a file in bytes, without keeping it open.
    fn file_size(&self, path: &Path) -> io::Result<u64> {
        self.open(path, false)?.size()
    }
    /// When the content of a file was last changed, in milliseconds since the
    /// epoch; `None` where nobody knows.
    fn modified_ms(&self, _path: &Path) -> Option<i64> {
        None
    }
    /// Room in the file system that holds `path`. `Unsupported` where nobody
    /// knows.
    fn space(&self, _path: &Path) -> io::Result<Space> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Makes the names in a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// The whole of a file; `None` when it is not there.
    fn read_if_there(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        match self.read_to_vec(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The whole of a file.
    fn read_to_vec(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path, false)?;
        let size = usize::try_from(file.size()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; size];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Replaces a small file so that after a crash either the old or the new
    /// content is there, whole: write aside, sync, rename, sync the folder.
    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let aside = path.with_extension("tmp");
        if self.exists(&aside) {
            self.remove_file(&aside)?;
        }
        let file = self.open(&aside, true)?;
        file.write_all_at(content, 0)?;
        file.sync_data()?;
        self.rename(&aside, path)?;
        match path.parent() {
            Some(parent) => self.sync_dir(parent),
            None => Ok(()),
        }
    }
}

/// Room in a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Its size in bytes.
    pub total_bytes: u64,
    /// Bytes that this process may still write.
    pub usable_bytes: u64,
}

/// An open file.
pub trait FsFile: Send + Sync + 'static {
    /// Reads at most `buffer.len()` bytes at `position`; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `position`, past the end too.
    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;
    /// Cuts or extends (with zeros) the file to `size` bytes.
    fn set_size(&self, size: u64) -> io::Result<()>;
    /// Size in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Makes content and size durable (`fdatasync`).
    fn sync_data(&self) -> io::Result<()>;
    /// Makes everything in this file's file system durable (`syncfs`): one
    /// call for any number of files. An error of any of them since this file
    /// was opened fails it, so keep the file open. `Unsupported` where the
    /// system cannot.
    fn sync_file_system(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// The real file, where there is one: for locks.
    fn as_real(&self) -> Option<&File> {
        None
    }
    /// Whether reading these bytes would not wait for the disk, as far as a
    /// look at some of them tells.
    fn is_cached(&self, _position: u64, _size: usize) -> bool {
        false
    }
    /// Hands bytes to a socket that does not block, without copying them
    /// (`sendfile`): how many it took, 0 at the end of the file. Waits for the
    /// disk unless [`is_cached`](Self::is_cached).
    fn send_to(&self, _socket: BorrowedFd<'_>, _position: u64, _size: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Fills `buffer` from `position`, or fails with `UnexpectedEof`.
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_at(&mut buffer[filled..], position + filled as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// The machine's own file system.
#[derive(Debug, Default)]
pub struct RealFs;

impl RealFs {
    /// The machine's own file system, ready to share.
    pub fn shared() -> Arc<dyn Fs> {
        Arc::new(Self)
    }
}

impl Fs for RealFs {
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn FsFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(create)
            .truncate(false)
            .open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut entries = std::fs::read_dir(path)?
            .map(|e| e.map(|e| e.path()))
            .collect::<io::Result<Vec<_>>>()?;
        entries.sort();
        Ok(entries)
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn file_size(&self, path: &Path) -> io::Result<u64> {
        Ok(std::fs::metadata(path)?.len())
    }

    fn modified_ms(&self, path: &Path) -> Option<i64> {
        let modified = std::fs::metadata(path).ok()?.modified().ok()?;
        let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok()
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(Space {
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            usable_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

#[derive(Debug)]
struct RealFile(File);

impl FsFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buffer, position)
    }

    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, position)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    #[cfg(target_os = "linux")]
    fn sync_file_system(&self) -> io::Result<()> {
        if !syncfs_tells_errors() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(rustix::fs::syncfs(&self.0)?)
    }

    fn as_real(&self) -> Option<&File> {
        Some(&self.0)
    }

    #[cfg(target_os = "linux")]
    fn is_cached(&self, position: u64, size: usize) -> bool {
        use rustix::io::{ReadWriteFlags, preadv2};
        let is_cached = |at: u64| {
            let mut byte = [0];
            let mut buffers = [io::IoSliceMut::new(&mut byte)];
            preadv2(&self.0, &mut buffers, at, ReadWriteFlags::NOWAIT) == Ok(1)
        };
        let end = position + size as u64;
        // From the front, up to the first that is not there: the kernel takes
        // that for the next read of who reads in order, and reads ahead.
        (position..end).step_by(CACHE_LOOK_BYTES).all(is_cached)
            && end.checked_sub(1).is_none_or(is_cached)
    }

    #[cfg(target_os = "linux")]
    fn send_to(&self, socket: BorrowedFd<'_>, position: u64, size: usize) -> io::Result<usize> {
        let mut position = position;
        Ok(rustix::fs::sendfile(
            socket,
            &self.0,
            Some(&mut position),
            size,
        )?)
    }
}
/// Before Linux 5.8 `syncfs` says nothing of pages that could not be written
/// back (syncfs(2)), and what it promises cannot be relied upon.
#[cfg(target_os = "linux")]
fn syncfs_tells_errors() -> bool {
    static TELLS: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *TELLS.get_or_init(|| {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
        release.is_ok_and(|release| kernel_version(&release) >= Some((5, 8)))
    })
}

/// Major and minor version out of a release such as `6.1.0-18-amd64`.
#[cfg(target_os = "linux")]
fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.trim().split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::kernel_version;

    #[test]
    fn kernels_are_told_apart_by_number_and_not_by_text() {
        for (release, version) in [
            ("6.1.0-18-amd64\n", Some((6, 1))),
            ("5.10.0", Some((5, 10))),
            ("4.18.0-553.el8_10.x86_64", Some((4, 18))),
            ("5", None),
            ("", None),
        ] {
            assert_eq!(kernel_version(release), version, "{release}");
        }
        assert!(kernel_version("5.10.0") >= Some((5, 8)));
        assert!(kernel_version("5.4.0-26-generic") < Some((5, 8)));
    }
}

//! [`Spool`]: the file for what a client has not taken yet of a streamed response.

use std::{
    fs::File,
    io,
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::fs::{Mode, OFlags};

/// An unlinked file: nobody else can open it and it vanishes with its last descriptor, however the process ends.
#[derive(Debug)]
pub(crate) struct Spool {
    file: File,
    /// Bytes written so far.
    len: u64,
}

impl Spool {
    pub(crate) fn new(dir: &Path) -> io::Result<Self> {
        Ok(Self { file: unnamed(dir).or_else(|_| unlinked(dir))?, len: 0 })
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// A descriptor for the reader. It shares no position with the writer, who gives its own for each write.
    pub(crate) fn reader(&self) -> io::Result<OwnedFd> {
        Ok(self.file.try_clone()?.into())
    }

    /// Appends all of `data`, or nothing that counts.
    pub(crate) fn append(&mut self, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, self.len)?;
        self.len += data.len() as u64;
        Ok(())
    }
}

/// A file that never had a name. Some file systems (overlayfs of old kernels, NFS) have none.
fn unnamed(dir: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR)?.into())
}

fn unlinked(dir: &Path) -> io::Result<File> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = dir.join(format!("volador-spool-{}-{n}", std::process::id()));
    // EXCL: whatever somebody else put there under that name is not followed.
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)?;
    std::fs::remove_file(&path)?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_has_no_name_either_way() {
        let dir = std::env::temp_dir();
        for make in [unnamed, unlinked] {
            let mut spool = Spool { file: make(&dir).unwrap(), len: 0 };
            spool.append(b"hello ").unwrap();
            spool.append(b"world").unwrap();
            let mut bytes = [0; 11];
            File::from(spool.reader().unwrap()).read_exact_at(&mut bytes, 0).unwrap();
            assert_eq!(&bytes, b"hello world");
            assert_eq!(spool.file.metadata().unwrap().len(), 11);
        }
        let mine = format!("volador-spool-{}-", std::process::id());
        let left = std::fs::read_dir(dir).unwrap().filter_map(|e| e.ok()?.file_name().into_string().ok());
        assert_eq!(left.filter(|name| name.starts_with(&mine)).count(), 0);
    }

    #[test]
    fn missing_directory_is_an_error() {
        assert!(Spool::new(Path::new("/nonexistent")).is_err());
    }
}

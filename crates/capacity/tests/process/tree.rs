//! A machine that is not this one: a tree of files that is read instead of `/`.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use fourtuple_capacity::process::{Pid, Process};

/// Where the observed files of real processes are kept.
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/process/fixtures");

/// How many names a file is given; some file systems allow 65,000.
const LINKS_OF_ONE_FILE: usize = 60_000;

/// A directory that is gone at the end of its test.
pub(crate) struct Tree {
    root: PathBuf,
}

impl Tree {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("fourtuple-tree-{}-{count}", process::id());
        let root = env::temp_dir().join(name);
        fs::create_dir_all(root.join("proc")).expect("a temporary directory");
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a file, with the directories it is in.
    pub(crate) fn file(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(path);
        fs::write(path, content).expect("a writable directory");
        self
    }

    /// Makes a link; what it leads to need not exist, as in /proc.
    pub(crate) fn link(&self, path: &str, target: &str) -> &Self {
        symlink(target, self.path(path)).expect("a writable directory");
        self
    }

    /// Makes the links of so many descriptors, all sockets with the inode 1.
    pub(crate) fn sockets(&self, pid: u32, count: usize) -> &Self {
        let folder = self.path(&format!("proc/{pid}/fd/0"));
        let folder = folder.parent().expect("it is in the tree");
        let path = |descriptor: usize| folder.join(descriptor.to_string());
        for descriptor in 0..count {
            let first = descriptor - descriptor % LINKS_OF_ONE_FILE;
            if descriptor == first {
                symlink("socket:[1]", path(first)).expect("a writable directory");
            } else {
                // Another name for it, which is much cheaper than another one.
                fs::hard_link(path(first), path(descriptor)).expect("a writable directory");
            }
        }
        self
    }

    /// Copies the files that were kept of a real process into the directory of `pid`. Where its `exe`
    /// leads was kept as text.
    pub(crate) fn observed(&self, name: &str, pid: u32) -> &Self {
        let folder = Path::new(FIXTURES).join(name);
        for file in ["cmdline", "environ", "limits", "status"] {
            let content = fs::read(folder.join(file)).expect("it was kept");
            self.file(&format!("proc/{pid}/{file}"), content);
        }
        let exe = fs::read_to_string(folder.join("exe")).expect("it was kept");
        self.link(&format!("proc/{pid}/exe"), exe.trim())
    }

    pub(crate) fn read(&self, pid: u32) -> Process {
        Process::read(&self.root, Pid(pid)).expect("it is in the tree")
    }

    fn path(&self, path: &str) -> PathBuf {
        let path = self.root.join(path);
        let folder = path.parent().expect("it is in the tree");
        fs::create_dir_all(folder).expect("a writable directory");
        path
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // What is left behind is in a temporary directory.
        let _ = fs::remove_dir_all(&self.root);
    }
}

//! A key of the API, and the configuration that knows it.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use crate::support::binary::{fourtuple, output_of};

/// A key made by `fourtuple key`, and a file with its hash, which goes with this value.
#[derive(Debug)]
pub(crate) struct Key {
    /// The value of the header `Authorization`.
    pub(crate) bearer: String,
    pub(crate) hash: String,
    file: PathBuf,
}

impl Key {
    pub(crate) fn make(scopes: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let made = output_of(fourtuple().args(["key", "--name", "shop", "--scopes", scopes]));
        assert!(made.status.success(), "{made:?}");
        let said = String::from_utf8_lossy(&made.stderr);
        let key = said.split_whitespace().find(|word| word.starts_with("ft_"));
        let lines = String::from_utf8_lossy(&made.stdout);
        let hash = lines.lines().find(|line| line.starts_with("hash"));
        let hash = hash.and_then(|line| line.split('"').nth(1));
        let name = format!(
            "api-key-{}-{}.toml",
            std::process::id(),
            COUNT.fetch_add(1, Relaxed)
        );
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&file, lines.as_bytes()).expect("the folder is ours");
        Self {
            bearer: format!("Bearer {}", key.expect("a key is shown")),
            hash: hash.expect("a hash is printed").to_owned(),
            file,
        }
    }

    /// The configuration that knows it.
    pub(crate) fn file(&self) -> &str {
        self.file.to_str().expect("its path is UTF-8")
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // A file that is left behind does no harm.
        drop(fs::remove_file(&self.file));
    }
}

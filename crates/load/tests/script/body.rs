//! What reading a script promises for any text at all. A fuzz target includes this file.

use std::path::Path;

use fourtuple_load::{Script, ScriptFlags};

/// Any text is a script that can be run, or it is refused in words that name the file.
pub(crate) fn fuzz_script(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let (folder, flags) = (Path::new("no such folder"), ScriptFlags::default());
    let read = |text: &str| Script::parse("s.yml", text, folder, &flags, &|_| None);
    match read(text) {
        Ok(script) => {
            let odd = script.warnings();
            let again = read(text).expect("what was a script once");
            assert_eq!(odd, again.warnings());
        }
        Err(problems) => {
            assert!(problems.count() > 0);
            let shown = problems.to_string();
            assert!(shown.contains("s.yml:"), "{shown}");
        }
    }
}

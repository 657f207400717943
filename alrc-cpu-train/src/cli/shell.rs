//! Commands that are printed to be pasted into a shell.

use std::borrow::Cow;
use std::path::Path;

/// A path as one word that no program takes for an option.
pub(super) fn shell_word(path: &Path) -> String {
    let path = path.to_string_lossy();
    let path = if path.starts_with('-') { Cow::Owned(format!("./{path}")) } else { path };
    shlex::try_quote(&path).map_or_else(|_| path.to_string(), Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word() {
        for path in ["runs/a", "my run", "it's", "-x", "$HOME", "a\nb"] {
            let words = shlex::split(&shell_word(Path::new(path))).unwrap();
            let word = if path.starts_with('-') { format!("./{path}") } else { path.to_owned() };
            assert_eq!(words, [word]);
        }
    }
}
